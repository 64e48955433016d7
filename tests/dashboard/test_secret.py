"""The signing key."""

from __future__ import annotations

import threading

import pytest

from config.errors import ConfigurationError
from config.paths import DataDir
from dashboard.secret import secret_key


def test_key_is_made_once_and_private(folder: DataDir) -> None:
    made = secret_key(folder)
    assert len(made) == 32
    assert secret_key(folder) == made
    assert folder.secret_key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.root.glob("*secret*")] == [folder.secret_key.name]


def test_processes_that_start_together_use_one_key(folder: DataDir) -> None:
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(secret_key(folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_key_that_others_can_read_is_refused(folder: DataDir) -> None:
    secret_key(folder)
    folder.secret_key.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        secret_key(folder)


def test_damaged_key_is_refused(folder: DataDir) -> None:
    folder.secret_key.write_bytes(b"short")
    folder.secret_key.chmod(0o600)
    with pytest.raises(ConfigurationError, match="damaged"):
        secret_key(folder)
