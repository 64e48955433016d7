"""The database keeps what it committed, whoever else writes, and its schema is what the models say."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import func, select, text

import archive
from archive.database import Database, open_database
from archive.models import Base, Code, Patient, Quarantined, now
from config.errors import ConfigurationError
from config.paths import DataDir
from config.settings import Settings
from tests.archive.filing import file_code, file_image, file_patient


def move(database: Database, way: Callable[[Config, str], None], revision: str) -> None:
    """Bring the schema up or down to a revision."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(archive.__file__).parent / "migrations"))
    with database.engine.begin() as connection:
        alembic.attributes["connection"] = connection
        way(alembic, revision)


def test_migrations_make_the_schema_of_the_models(database: Database) -> None:
    with database.engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    with database.write() as session:
        session.add(Patient(patient_id="P1"))
    database.migrate()
    with database.read() as session:
        assert session.scalar(select(func.count(Patient.id))) == 1


def test_codes_of_an_earlier_version_are_kept_and_cover_the_whole_image(settings: Settings, folder: DataDir) -> None:
    earlier = open_database(settings, folder)
    move(earlier, command.upgrade, "0002")
    # Without the instance that it belongs to: this connection does not ask for foreign keys.
    with closing(sqlite3.connect(folder.database)) as plain, plain:
        plain.execute("INSERT INTO codes VALUES (1, 'model', x'01', x'02', x'03', 1)")
    earlier.migrate()
    with earlier.read() as session:
        code = session.get_one(Code, 1)
        assert (code.model_id, code.attention, code.box) == ("model", b"\x03", None)
    earlier.close()


def test_an_archive_whose_files_have_other_names_is_refused_and_left_as_it_is(
    settings: Settings, folder: DataDir
) -> None:
    earlier = open_database(settings, folder)
    earlier.migrate()
    with earlier.write() as session:
        file_code(session, file_image(session, file_patient(session, "P1")), bytes(4), 2)
    move(earlier, command.downgrade, "0013")
    with pytest.raises(ConfigurationError, match="Begin with an empty data folder"):
        earlier.migrate()
    with earlier.read() as session:
        assert session.scalar(text("SELECT count(file_sha256) FROM instances")) == 1
    earlier.close()


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
