"""Opening the database: SQLite with a write-ahead log, or PostgreSQL by URL; Alembic migrates the schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session, sessionmaker

from config.errors import ConfigurationError
from config.paths import DataDir
from config.settings import Settings

# How long a writer waits for another one.
BUSY_SECONDS = 60


class Database:
    """The archive's database; cheap to make, safe to use from several threads.

    Example:
        with database.write() as session:
            session.add(Patient(patient_id="1", issuer=""))
    """

    def __init__(self, url: str) -> None:
        try:
            self.engine: Engine = create_engine(
                url,
                pool_pre_ping=not url.startswith("sqlite"),
                connect_args=_arguments(url),
                hide_parameters=True,  # errors are logged, values are patient data
            )
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigurationError(f"The option database.url is not usable: {type(error).__name__}.") from error
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._readers = sessionmaker(self.engine.execution_options(lungprint_read=True), expire_on_commit=False)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits when the block ends and rolls back when it raises.

        On SQLite the transaction takes the write lock at its start, so it never fails half way for want of it; when the
        commit returns, the change is on the disk (`synchronous=FULL`).
        """
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading alone; it never waits for a writer."""
        with self._readers() as session:
            yield session

    def migrate(self) -> None:
        """Bring the schema to the newest version; safe to call at every start."""
        alembic = Config()
        alembic.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.engine.begin() as connection:
            alembic.attributes["connection"] = connection
            command.upgrade(alembic, "head")

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


def open_database(settings: Settings, folder: DataDir) -> Database:
    """The database of one system: the configured URL, or SQLite in the data folder."""
    return Database(settings.database.url or f"sqlite:///{folder.database}")


def _arguments(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        # isolation_level None: pysqlite does not begin transactions by itself; _begin_sqlite does.
        return {"timeout": BUSY_SECONDS, "isolation_level": None}
    if url.startswith("postgresql"):
        # A server behind a broken network must fail soon, and a commit must be on its disk whatever its default says.
        options = f"-c lock_timeout={BUSY_SECONDS}s -c synchronous_commit=on"
        return {"connect_timeout": 10, "tcp_user_timeout": 15_000, "options": options}
    return {}


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("lungprint_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
