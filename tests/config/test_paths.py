"""The data folder: private, absolute, and with a socket path that the kernel takes."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from config.errors import ConfigurationError
from config.paths import LONGEST_SOCKET_PATH, data_dir


def test_folders_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    folder = data_dir(tmp_path / "data")
    folder.create()
    made = [folder.root, folder.images, folder.incoming, folder.quarantine, folder.logs, folder.run, folder.redis]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700] * len(made)


def test_received_files_can_be_renamed_into_place(tmp_path: Path) -> None:
    folder = data_dir(tmp_path)
    folder.create()
    assert folder.incoming.stat().st_dev == folder.images.stat().st_dev


def test_a_relative_path_means_the_same_after_the_process_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = data_dir("data")
    monkeypatch.chdir("/")
    assert folder.root == tmp_path / "data"


def test_a_deep_folder_still_gets_a_socket_that_can_be_bound(tmp_path: Path) -> None:
    folder = data_dir(tmp_path / ("d" * 60) / ("e" * 60))
    folder.create()
    try:
        assert len(os.fsencode(folder.redis_socket)) <= LONGEST_SOCKET_PATH
        assert folder.redis_socket.parent.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(folder.redis_socket))
    finally:
        shutil.rmtree(folder.redis_socket.parent)


def test_two_deep_folders_never_share_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    assert data_dir(deep / "a").redis_socket != data_dir(deep / "b").redis_socket


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"file.*cannot be made"):
        data_dir(tmp_path / "file" / "data").create()


def test_a_folder_that_was_open_to_others_becomes_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    made = data_dir(tmp_path)
    made.create()
    assert made.root.stat().st_mode & 0o077 == 0
