"""The database keeps what it committed, whoever else writes, and its schema is what the models say."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, text

from archive.database import Database, open_database
from archive.models import Base, Patient, Quarantined, now
from config.errors import ConfigurationError
from config.paths import DataDir
from config.settings import Settings


def test_migrations_make_the_schema_of_the_models(database: Database) -> None:
    with database.engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    with database.write() as session:
        session.add(Patient(patient_id="P1"))
    database.migrate()
    with database.read() as session:
        assert session.scalar(select(func.count(Patient.id))) == 1


def test_sqlite_is_opened_durable(database: Database) -> None:
    with database.read() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA synchronous")) == 2
        assert session.scalar(text("PRAGMA foreign_keys")) == 1


def test_a_block_that_raises_changes_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as session:
        session.add(Patient(patient_id="P1"))
        session.flush()
        raise RuntimeError
    with database.read() as session:
        assert session.scalar(select(func.count(Patient.id))) == 0


def test_writers_in_several_threads_wait_for_each_other(database: Database) -> None:
    def add(number: int) -> None:
        with database.write() as session:
            seen = session.scalar(select(func.count(Patient.id)))
            session.add(Patient(patient_id=f"{seen}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    with database.read() as session:
        assert sorted(int(p) for p in session.scalars(select(Patient.patient_id))) == list(range(40))


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    with database.write() as writing:
        writing.add(Patient(patient_id="P1"))
        writing.flush()
        with database.read() as reading:
            assert reading.scalar(select(func.count(Patient.id))) == 0


def test_a_commit_survives_the_death_of_its_process(settings: Settings, folder: DataDir, database: Database) -> None:
    code = (
        "import os, signal, sys\n"
        "from archive.database import Database\n"
        "from archive.models import Patient\n"
        "with Database(sys.argv[1]).write() as session:\n"
        "    session.add(Patient(patient_id='kept'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", code, f"sqlite:///{folder.database}"], check=False)
    assert died.returncode == -9
    reopened = open_database(settings, folder)
    with reopened.read() as session:
        assert session.scalars(select(Patient.patient_id)).all() == ["kept"]
    reopened.close()


def test_times_come_back_in_utc_and_naive_ones_are_refused(database: Database) -> None:
    moment = now()
    with database.write() as session:
        session.add(Quarantined(file_name="a.dcm", status=0xC210, reason="x", received_at=moment))
    with database.read() as session:
        assert session.scalars(select(Quarantined.received_at)).one() == moment
    with pytest.raises(Exception, match="without a zone"), database.write() as session:
        session.add(Quarantined(file_name="b.dcm", status=0xC210, reason="x", received_at=moment.replace(tzinfo=None)))


def test_an_unusable_url_is_one_plain_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"database\.url"):
        Database("nonsense")


def test_foreign_keys_hold(folder: DataDir, database: Database) -> None:
    connection = sqlite3.connect(folder.database)
    connection.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(
            "INSERT INTO series (series_instance_uid, study_pk, modality, description) VALUES (1, 99, 0, 0)"
        )
    connection.close()
