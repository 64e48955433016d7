"""The key that signs sessions: made once, readable by its owner alone."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from config.errors import ConfigurationError
from config.paths import DataDir

KEY_BYTES = 32


def secret_key(folder: DataDir) -> bytes:
    """The key of the data folder, made when there is none; of two processes that make one, both use the first.

    Raises:
        ConfigurationError: the file is damaged, readable by others or cannot be made.
    """
    path = folder.secret_key
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"Others can read {path}; run `chmod 600` on it, or remove it to make a new key.")
        key = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"The dashboard's key {path} cannot be used: {error.strerror}.") from error
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"The dashboard's key {path} is damaged; remove it, everybody then signs in again.")
    return key


def _make(path: Path) -> None:
    handle, name = tempfile.mkstemp(prefix=".secret-", dir=path.parent)  # made with mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()
