"""Where the archive keeps its files, and how one gets there so that no crash can lose it."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from config.errors import LungprintError
from config.paths import DataDir

_DIGEST = re.compile(r"[0-9a-f]{64}")


class DigestUnusable(LungprintError):
    """A file was asked for by something that is no SHA-256 digest."""

    def __init__(self) -> None:
        super().__init__("A stored file is named by the 64 hexadecimal digits of its SHA-256 digest.")


class ImageFiles:
    """The DICOM files of one system, each named by the SHA-256 digest of its data set, and their previews.

    A file under its final name is complete and on the disk; files are never changed or removed.
    """

    def __init__(self, folder: DataDir) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Make the folders that files go to, so that no image has to wait for a new folder to be synced.

        Raises:
            OSError: a folder cannot be made.
        """
        for number in range(256):
            (self._folder.images / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
        _sync(self._folder.images)

    def path(self, file_sha256: str) -> Path:
        """Where the file with this digest lies, whether it is there or not.

        Raises:
            DigestUnusable: `file_sha256` is not 64 hexadecimal digits.
        """
        return self._folder.images / _checked(file_sha256)[:2] / f"{file_sha256}.dcm"

    def quarantine_path(self, file_sha256: str) -> Path:
        """Where a refused file with this digest lies, whether it is there or not.

        Raises:
            DigestUnusable: `file_sha256` is not 64 hexadecimal digits.
        """
        return self._folder.quarantine / f"{_checked(file_sha256)}.dcm"

    def preview_path(self, instance_id: int) -> Path:
        """Where the preview of an image lies, whether it is there or not."""
        return self._folder.previews / f"{instance_id % 256:02x}" / f"{instance_id}.jpg"

    def aligned_path(self, first: int, second: int) -> Path:
        """Where the second image's preview, laid over the first's, lies, whether it is there or not."""
        return self.preview_path(first).with_name(f"{first}-{second}.png")

    def keep(self, temporary: Path, file_sha256: str) -> Path:
        """Move a complete file to its place for good; on return it survives a power failure.

        The order is what makes it safe: the file's bytes are synced, then it is renamed, then the folder that holds
        the new name is synced. A file of that digest that is already there is the same and stays.

        Args:
            temporary: on the file system of the data folder; gone afterwards.

        Returns:
            where the file lies now.

        Raises:
            OSError: no space, no permission or a broken disk; `temporary` may still be there.
        """
        return _move(temporary, self.path(file_sha256))

    def set_aside(self, temporary: Path, file_sha256: str) -> Path:
        """Move a refused file to the quarantine, as durably as `keep` and with the same errors."""
        return _move(temporary, self.quarantine_path(file_sha256))


def _checked(file_sha256: str) -> str:
    if not _DIGEST.fullmatch(file_sha256):
        raise DigestUnusable
    return file_sha256


def _move(temporary: Path, place: Path) -> Path:
    _make_folder(place.parent)
    if place.exists():
        temporary.unlink()
    else:
        _sync(temporary)
        temporary.replace(place)
    _sync(place.parent)
    return place


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
