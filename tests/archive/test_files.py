from __future__ import annotations

import os
from pathlib import Path

import pytest

from archive.files import DigestUnusable, ImageFiles
from config.paths import DataDir

DIGEST = "ab" + "0" * 62


def incoming(folder: DataDir, content: bytes = b"image") -> Path:
    path = folder.incoming / "one.part"
    path.write_bytes(content)
    return path


def test_a_kept_file_lies_under_its_digest(folder: DataDir) -> None:
    place = ImageFiles(folder).keep(incoming(folder), DIGEST)
    assert place == ImageFiles(folder).path(DIGEST) == folder.images / "ab" / f"{DIGEST}.dcm"
    assert place.read_bytes() == b"image" and not any(folder.incoming.iterdir())


def test_a_file_that_is_there_already_stays(folder: DataDir) -> None:
    files = ImageFiles(folder)
    inode = files.keep(incoming(folder), DIGEST).stat().st_ino
    assert files.keep(incoming(folder), DIGEST).stat().st_ino == inode
    assert not any(folder.incoming.iterdir())


def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_after(
    folder: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, seen = ImageFiles(folder), list[tuple[str, bool]]()
    files.prepare()
    really = os.fsync

    def watched(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        seen.append((name, files.path(DIGEST).exists()))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    files.keep(incoming(folder), DIGEST)
    assert seen == [("one.part", False), ("ab", True)]


def test_refused_files_lie_in_the_quarantine(folder: DataDir) -> None:
    place = ImageFiles(folder).set_aside(incoming(folder), DIGEST)
    assert place == folder.quarantine / f"{DIGEST}.dcm" and place.exists()


def test_files_are_for_their_owner_alone(folder: DataDir) -> None:
    files = ImageFiles(folder)
    files.prepare()
    assert {path.stat().st_mode & 0o777 for path in folder.images.iterdir()} == {0o700}
    assert len(list(folder.images.iterdir())) == 256


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "AB" + "0" * 62, "0" * 63, "0" * 65, "0" * 64 + "\n"])
def test_only_a_digest_names_a_file(folder: DataDir, digest: str) -> None:
    with pytest.raises(DigestUnusable):
        ImageFiles(folder).path(digest)


def test_previews_are_spread_over_folders(folder: DataDir) -> None:
    files = ImageFiles(folder)
    assert files.preview_path(1) != files.preview_path(257)
    assert files.preview_path(1).parent == files.preview_path(257).parent != files.preview_path(2).parent
