"""The archive on PostgreSQL: the schema and behaviour that it has on SQLite, with a real server of the test's own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

import archive
from archive import commitments, priors
from archive.alerts import Finding, label_key, list_alerts, raise_alert
from archive.audit import AuditAction, record
from archive.audit_export import next_batch, record_told
from archive.backlog import Errand, backlogs
from archive.changes import changes_since
from archive.database import Database, open_database
from archive.exclusive import ExclusivityLost, take
from archive.files import ImageFiles
from archive.intake import Header, Outcome, StoredFile, register
from archive.leftovers import finish
from archive.links import Author, join, links_of, unjoin
from archive.models import Base, Disposition, Instance, Notification, Patient
from archive.progress import due, record_failure, retry
from archive.purge import Subject, purge
from archive.queries import note_query
from archive.review import dispose
from archive.sessions import end_sign_in, is_open, open_sign_in
from archive.states import AlertKind, AlertState, Channel, ImageState, PurgeKind, Role
from archive.statistics import system_status
from archive.users import create_user, verify
from config.paths import DataDir, data_dir
from config.settings import Settings, load_settings
from dicom_node.hl7_message import decoded, parsed, read_adt
from dicom_node.hl7_patients import take as take_message
from tests.archive.filing import PASSWORD, enlist, file_alert, file_image, file_patient
from tests.dicom_node import adt
from tests.ports import free_port


def server_programs() -> Path | None:
    """Folder of PostgreSQL's server programs; Debian keeps them out of PATH."""
    found = shutil.which("postgres")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "postgres").exists()), None)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A fresh PostgreSQL server, run by an ordinary user because it refuses to run as root."""
    pytest.importorskip("psycopg", reason="the extra `postgresql` is not installed")
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
    as_user: list[str] = []
    place = Path(tempfile.mkdtemp(prefix="lungprint-pg-"))
    if os.geteuid() == 0:
        user = next(
            (name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()}), None
        )
        if user is None or shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no other user to run it")
        shutil.chown(place, user)
        as_user = ["runuser", "-u", user, "--"]
    port = free_port()
    cluster = place / "cluster"
    options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [*as_user, str(programs / "pg_ctl"), "-D", str(cluster)]
    initdb = [*as_user, str(programs / "initdb"), "-D", str(cluster), "-U", "lungprint", "-A", "trust", "-E", "UTF8"]
    try:
        subprocess.run(initdb, check=True, capture_output=True, cwd=place, timeout=120)
        start = [*control, "-w", "-l", str(place / "log"), "-o", options, "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd=place, timeout=120)
        try:
            yield f"postgresql+psycopg://lungprint@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run(
                [*control, "-m", "immediate", "stop"], check=False, capture_output=True, cwd=place, timeout=60
            )
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def settings(folder: DataDir, url: str) -> Settings:
    return load_settings(folder.root, {"LUNGPRINT_DATABASE_URL": url})


@pytest.fixture
def database(settings: Settings, folder: DataDir) -> Iterator[Database]:
    opened = open_database(settings, folder)
    with opened.engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    opened.migrate()
    yield opened
    opened.close()


def test_the_migrations_make_the_schema_of_the_models(database: Database) -> None:
    database.migrate()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_images_and_times_come_back_as_they_were_stored(database: Database) -> None:
    with database.write() as session:
        image = file_image(session, file_patient(session, "P1", "Müller^Jürgen"))
    with database.read() as session:
        found = session.get_one(Instance, image.id)
        assert found.patient.name == "Müller^Jürgen"
        assert found.received_at == image.received_at
        assert found.series.study.acquired_at == image.series.study.acquired_at


def test_the_same_label_is_one_row(database: Database) -> None:
    with database.write() as session:
        session.add(Patient(patient_id="P1", issuer=""))
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Patient(patient_id="P1", issuer=""))


def test_an_alert_is_raised_once_even_by_two_at_a_time(database: Database, settings: Settings) -> None:
    with database.write() as session:
        image = file_image(session, file_patient(session, "P1"))
    finding = Finding(label_key(image.id), AlertKind.PRIOR_MISMATCH, 0.9, image.id, image.patient_pk)

    def raise_it(_: int) -> None:
        try:
            with database.write() as session:
                raise_alert(session, settings, finding)
        except IntegrityError:
            # The other one was first; the task is delivered again and finds the alert.
            with database.write() as session:
                raise_alert(session, settings, finding)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(raise_it, range(8)))
    with database.read() as session:
        assert [alert["kind"] for alert in list_alerts(session)] == ["prior_mismatch"]


def test_an_image_that_fails_becomes_a_dead_letter_and_comes_back(database: Database, settings: Settings) -> None:
    with database.write() as session:
        image = file_image(session, file_patient(session, "P1"), state=ImageState.RECEIVED, verdict="")
    for _ in range(settings.workers.max_attempts):
        with database.write() as session:
            state = record_failure(session, image.id, "no memory", settings.workers)
    assert state is ImageState.FAILED
    with database.write() as session:
        assert retry(session, image.id)
        assert due(session, ImageState.RECEIVED, 10) == [image.id]


def test_a_user_may_sign_in(database: Database) -> None:
    with database.write() as session:
        create_user(session, "anna", PASSWORD, Role.QA)
    with database.read() as session:
        assert verify(session, "anna", PASSWORD) is not None
        assert verify(session, "anna", "wrong password!") is None


def test_status_counts(database: Database, settings: Settings, folder: DataDir) -> None:
    with database.write() as session:
        file_image(session, file_patient(session, "P1"))
    assert system_status(database, settings, folder).images[ImageState.MATCHED] == 1


def test_records_are_joined_and_separated_by_many_at_a_time(database: Database) -> None:
    with database.write() as session:
        images = [file_image(session, file_patient(session, f"P{number}")) for number in range(9)]
    patients = [image.patient_pk for image in images]

    def link(number: int) -> None:
        with database.write() as session:
            join(session, patients[number], patients[number + 1], Author("qa"))

    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            list(pool.map(link, range(8)))
    with database.read() as session:
        assert len(links_of(session, patients)) == 8
        assert changes_since(session, 0).relabelled == {image.id for image in images}
        assert set(session.scalars(select(Patient.person_pk))) == {min(patients)}
    with database.write() as session:
        assert unjoin(session, patients[3], patients[4], Author("qa"))
        assert set(session.scalars(select(Patient.person_pk))) == {patients[0], patients[4]}


def test_a_corrected_image_moves(database: Database, settings: Settings) -> None:
    header = Header("1.2", "1.3", "1.2.840.10008.1.2.1", "1.4", "1.5", "WRONG")
    first = register(database, settings, header, StoredFile("a" * 64, 1))
    again = register(database, settings, replace(header, patient_id="RIGHT"), StoredFile("b" * 64, 1))
    assert (again.instance_id, again.outcome) == (first.instance_id, Outcome.CORRECTED)
    with database.read() as session:
        assert session.get_one(Instance, first.instance_id).patient.patient_id == "RIGHT"


def test_decisions_go_with_a_purge_and_not_otherwise(database: Database, folder: DataDir) -> None:
    with database.write() as session:
        image = file_image(session, file_patient(session, "DOE"))
        alert = file_alert(session, image)
        dispose(session, alert.id, enlist(session, Role.QA), AlertState.CONFIRMED, "a note")
        record(session, "qa", AuditAction.ALERT_DISPOSED, "alert", alert.id, image.patient_pk)
    for statement in (
        "DELETE FROM dispositions",
        "UPDATE dispositions SET note = ''",
        "TRUNCATE dispositions",
        "DELETE FROM audit_events",
    ):
        with pytest.raises(DBAPIError, match="only ever added"), database.write() as session:
            session.execute(text(statement))
    number = purge(database, Subject(PurgeKind.PATIENT, "DOE"), Author("admin"), b"k")
    assert number is not None
    finish(database, ImageFiles(folder), number)
    with database.read() as session:
        assert (
            session.scalar(select(func.count(Disposition.id))) == session.scalar(select(func.count(Instance.id))) == 0
        )
        assert [one.name for one in session.scalars(select(Patient))] == [""]


def test_every_migration_goes_back_and_forth(database: Database) -> None:
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(archive.__file__).parent / "migrations"))
    revisions = [script.revision for script in ScriptDirectory.from_config(alembic).walk_revisions()]
    assert len(revisions) >= 14
    for revision in revisions[1:]:
        with database.engine.begin() as connection:
            alembic.attributes["connection"] = connection
            command.downgrade(alembic, revision)
    for revision in reversed(revisions):
        with database.engine.begin() as connection:
            alembic.attributes["connection"] = connection
            command.upgrade(alembic, revision)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_what_an_earlier_version_stored_is_kept_by_the_outbox_s_migration(database: Database) -> None:
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(archive.__file__).parent / "migrations"))
    with database.write() as session:
        alert = file_alert(session, file_image(session, file_patient(session, "P1")))
        for channel in (Channel.WEBHOOK, Channel.REPORT):
            session.add(Notification(alert_pk=alert.id, channel=channel))
    with database.engine.begin() as connection:
        alembic.attributes["connection"] = connection
        command.downgrade(alembic, "0003")
        earlier = connection.execute(text("SELECT id, target FROM notifications ORDER BY id")).all()
        # Images of that time are refused by a later migration.
        command.upgrade(alembic, "0013")
    with database.read() as session:
        rows = session.scalars(select(Notification).order_by(Notification.id)).all()
        assert [one.id for one in rows] == [row[0] for row in earlier]
        assert all(one.uuid and one.due_at and one.batch == "" for one in rows)


def test_two_machines_with_no_shared_disk_never_both_have_a_task(
    database: Database, folder: DataDir, url: str, tmp_path: Path
) -> None:
    elsewhere = data_dir(tmp_path / "elsewhere")
    elsewhere.create()
    other = Database(url)
    try:
        first = take(database, folder, "index")
        assert first is not None
        first.check()
        assert take(other, elsewhere, "index") is None
        # As when the server is started again, or the network between them breaks.
        with other.engine.begin() as connection:
            locks = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            connection.execute(text(locks)).all()
        for _ in range(2):
            with pytest.raises(ExclusivityLost):
                first.check()
        second = take(other, elsewhere, "index")
        assert second is not None
        first.close()
        second.check()
        assert take(database, folder, "index") is None
        second.close()
        third = take(database, folder, "index")
        assert third is not None
        third.close()
    finally:
        other.close()


def test_a_search_and_a_day_are_claimed_by_one_alone(database: Database) -> None:
    with database.write() as session:
        for number in range(6):
            priors.begin(session, file_patient(session, f"P{number}").id)
        priors.ask_for_days(session, [date(2024, 1, day) for day in range(1, 7)])

    def claim(_: int) -> tuple[int | None, date | None]:
        with database.write() as session:
            wanted = priors.claim_patient(session)
            return None if wanted is None else wanted.patient_pk, priors.claim_day(session)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(claim, range(6)))
    patients, days = {patient for patient, _ in found}, {day for _, day in found}
    # Who finds only rows that others are claiming gets none, and asks again later.
    assert len(patients - {None}) == sum(patient is not None for patient, _ in found) > 0
    assert len(days - {None}) == sum(day is not None for _, day in found) > 0


def test_a_merge_by_hl7_is_taken_once(database: Database) -> None:
    with database.write() as session:
        file_image(session, file_patient(session, "OLD", issuer="HOSP"))
    content = adt.merge("OLD", "NEW", event="A47")
    message = read_adt(parsed(decoded(content)))
    for news in (True, False):
        with database.write() as session:
            assert take_message(session, message, content, "10.0.0.7", "HOSP") is news
    with database.read() as session:
        persons = set(session.scalars(select(Patient.person_pk)))
        assert len(persons) == 1 and None not in persons


def test_commitments_queries_and_sign_ins_are_kept(database: Database) -> None:
    with database.write() as session:
        user = enlist(session, Role.QA)
        made = commitments.enter(session, "PACS1", "1.2.3", [("1.2", "1.3")])
        assert commitments.enter(session, "PACS1", "1.2.3", [("1.2", "1.3")]) == made
        patient = file_patient(session, "P1")
        note_query(session, "PACS1", "1.2.840.10008.5.1.4.1.2.2.1", b"\x10\x00", "1.2.3", patient.id)
        record(session, "qa", AuditAction.SIGNED_IN)
        token = open_sign_in(session, user.id, timedelta(hours=12))
    batch = next_batch(database, "file")
    assert ([one.identifier for one in batch.asked], len(batch.done)) == ([b"\x10\x00"], 1)
    with database.write() as session:
        record_told(session, "file", batch)
    assert len(next_batch(database, "file")) == 0
    with database.write() as session:
        assert is_open(session, token, user.id) and backlogs(session)[Errand.COMMITMENTS].pending == 1
        end_sign_in(session, token)
        assert not is_open(session, token, user.id)


def test_the_command_line_works_on_it(database: Database, folder: DataDir, url: str) -> None:
    environ = os.environ | {"LUNGPRINT_DATABASE_URL": url, "LUNGPRINT_DATA_DIR": str(folder.root)}

    def call(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli.main", *arguments]
        return subprocess.run(
            command, env=environ, input=stdin, capture_output=True, text=True, check=False, timeout=120
        )

    assert call("migrate").returncode == 0
    assert call("user", "add", "berta", "--role", "admin", "--password-stdin", stdin=f"{PASSWORD}\n").returncode == 0
    assert [user["name"] for user in json.loads(call("user", "list", "--json").stdout)] == ["berta"]
    assert json.loads(call("status", "--json").stdout)["images"]["MATCHED"] == 0
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Patient)) == 0
    assert not folder.database.exists()
