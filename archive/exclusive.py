"""A task that one process at a time may have, on this machine and on all that share a PostgreSQL database."""

from __future__ import annotations

import fcntl
import hashlib
from typing import IO

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from archive.database import Database
from config.errors import LungprintError
from config.paths import DataDir

# A machine that has vanished is noticed by the server within half a minute; by default it takes two hours.
_KEEPALIVE = ("tcp_keepalives_idle = 15", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 3")


class ExclusivityLost(LungprintError):
    """The connection that kept a task to this process is broken; another machine may have taken it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The database connection that keeps the task {name!r} to this process is broken.")


class Exclusive:
    """A task that this process has for itself until it closes this or ends; see `take`."""

    def __init__(self, name: str, file: IO[str], connection: Connection | None) -> None:
        self._name = name
        self._file = file
        self._connection = connection
        # A connection that was opened anew has another one, and no lock.
        self._server_process = None if connection is None else _server_process(connection)

    def check(self) -> None:
        """Make sure that nobody else can have it.

        Raises:
            ExclusivityLost: the server has ended the connection, and with it the lock.
        """
        if self._connection is None:
            return
        try:
            process = _server_process(self._connection)
        except SQLAlchemyError as error:
            raise ExclusivityLost(self._name) from error
        if process != self._server_process:
            raise ExclusivityLost(self._name)

    def close(self) -> None:
        """Let the next one have it."""
        if self._connection is not None:
            # Not back into the pool: the server gives the lock back when the connection ends.
            self._connection.invalidate()
            self._connection.close()
        self._file.close()


def take(database: Database, folder: DataDir, name: str) -> Exclusive | None:
    """The task of this name, None if another process has it.

    A lock on a file of the data folder keeps processes of one machine apart; a kill -9 ends it at once. Machines that
    share a PostgreSQL database, and perhaps no disk, are kept apart by an advisory lock of its server, held on a
    connection of its own.

    Args:
        name: lower case letters and hyphens.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be asked.
    """
    file = (folder.run / f"{name}.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        connection = _advisory_lock(database, name) if database.engine.dialect.name == "postgresql" else None
    except (BlockingIOError, _TakenElsewhere):
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    return Exclusive(name, file, connection)


class _TakenElsewhere(Exception):
    """The server has given the lock to another connection."""


def _advisory_lock(database: Database, name: str) -> Connection:
    # Without a transaction: one that stays open for days would keep the server from clearing up.
    connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        for option in _KEEPALIVE:
            connection.execute(text(f"SET {option}"))
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(name)}):
            raise _TakenElsewhere
    except BaseException:
        connection.invalidate()
        connection.close()
        raise
    return connection


def _server_process(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def _key(name: str) -> int:
    """The number by which the server knows a task: 64 bits with a sign."""
    return int.from_bytes(hashlib.sha256(f"lungprint {name}".encode()).digest()[:8], "big", signed=True)
