"""A turn that could not be had keeps nobody else from having one."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from dicom_node.turn import Turn


def test_a_turn_that_fails_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Turn(tmp_path / "lock")

    def no_locks(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No locks"):
        patch.setattr(fcntl, "flock", no_locks)
        with turn:
            pass
    assert turn._threads.acquire(timeout=1)
    turn._threads.release()
    with turn:
        pass
