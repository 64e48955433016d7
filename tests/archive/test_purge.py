"""A patient or study that is removed for good is nowhere any more; others keep what is theirs."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from archive import priors
from archive.audit import AuditAction, record, trail
from archive.changes import changes_since
from archive.database import Database, open_database
from archive.files import ImageFiles
from archive.leftovers import finish, unfinished, vectors_left
from archive.links import Author, join
from archive.models import (
    Alert,
    Base,
    Disposition,
    Instance,
    Leftover,
    PacsQuery,
    Patient,
    PatientLink,
    PriorSearch,
    Purge,
    RetrievedSeries,
    Series,
    Study,
    Variant,
)
from archive.purge import Subject, extent, purge
from archive.queries import note_query
from archive.review import dispose
from archive.states import AlertKind, AlertState, PurgeKind, Role
from config.paths import DataDir
from config.settings import Settings
from tests.archive.filing import enlist, file_alert, file_code, file_image, file_patient

KEY = b"k" * 32
ADMIN = Author("admin", "10.0.0.9")
DOE = Subject(PurgeKind.PATIENT, "DOE-4711")


@pytest.fixture
def files(folder: DataDir) -> ImageFiles:
    made = ImageFiles(folder)
    made.prepare()
    return made


def store(files: ImageFiles, session: Session, label: str, **facts: object) -> Instance:
    """An image with its file and preview."""
    image = file_image(session, file_patient(session, label, f"{label}^Name", birth_date="19700101"), **facts)
    file_code(session, image, bytes(36), 6)
    content = f"{label} {image.id}".encode()
    image.file_digest = hashlib.sha256(content).hexdigest()
    files.path(image.file_digest).write_bytes(content)
    files.preview_path(image.id).parent.mkdir(parents=True, exist_ok=True)
    files.preview_path(image.id).write_bytes(content)
    session.flush()
    return image


def everything(folder: DataDir) -> bytes:
    """All bytes of the data folder, the database's free pages included."""
    return b"".join(path.read_bytes() for path in sorted(folder.root.rglob("*")) if path.is_file())


def remove(database: Database, files: ImageFiles, subject: Subject = DOE, quarantined: tuple[str, ...] = ()) -> int:
    number = purge(database, subject, ADMIN, KEY, quarantined)
    assert number is not None
    finish(database, files, number)
    return number


def test_nothing_of_a_patient_is_left_anywhere(database: Database, files: ImageFiles, folder: DataDir) -> None:
    with database.write() as session:
        user = enlist(session, Role.QA)
        image, other = store(files, session, "DOE-4711"), store(files, session, "ROE")
        alert = file_alert(session, image, other)
        dispose(session, alert.id, user, AlertState.SAME_PERSON, "it is DOE-4711, I asked")
        record(session, "qa", AuditAction.IMAGE_VIEWED, "instance", image.id, image.patient_pk)
        priors.begin(session, image.patient_pk)
        series_uid = session.get_one(Series, image.series_pk).series_instance_uid
        priors.note_asked(session, series_uid)
        note_query(session, "PACS1", "1.2.3", b"DOE-4711", patient_pk=image.patient_pk)
        note_query(session, "PACS1", "1.2.3", b"DOE-4711's study", image.series.study.study_instance_uid)
        note_query(session, "PACS1", "1.2.3", b"ROE", patient_pk=other.patient_pk)
        files.aligned_path(other.id, image.id).parent.mkdir(parents=True, exist_ok=True)
        files.aligned_path(other.id, image.id).write_bytes(b"DOE-4711 laid over ROE")
        (folder.quarantine / "refused.dcm").write_bytes(b"DOE-4711")
    with database.read() as session:
        found = extent(session, DOE, ("refused.dcm",))
    assert vars(found) == {
        "patients": 1,
        "studies": 1,
        "images": 1,
        "versions": 0,
        "codes": 1,
        "alerts": 1,
        "decisions": 1,
        "quarantined": 1,
    }
    assert b"DOE-4711" in everything(folder)
    number = remove(database, files, DOE, ("refused.dcm",))
    left = everything(folder)
    assert b"DOE-4711" not in left and image.sop_instance_uid.encode() not in left and b"ROE" in left
    with database.read() as session:
        assert session.get(PriorSearch, image.patient_pk) is None and session.get(RetrievedSeries, series_uid) is None
        assert session.scalars(select(PacsQuery.identifier).order_by(PacsQuery.id)).all() == [b"", b"", b"ROE"]
        assert not extent(session, DOE) and unfinished(session) == []
        assert session.scalars(select(Instance.id)).all() == [other.id]
        assert session.scalars(select(PatientLink.id)).all() == []
        assert session.get_one(Patient, other.patient_pk).person_pk is None
        assert changes_since(session, 0).purged == {image.id} and vectors_left(session) == 1
        made = session.get_one(Purge, number)
        assert (made.requested_by, made.subject, made.counts) == ("admin", DOE.keyed_hash(KEY), vars(found))
        assert made.finished_at is not None
        # The trail still says that somebody saw an image of one patient, and who removed it.
        rows = {(row.event.user_name, row.event.action): row.patient_id for row in trail(session).rows}
        gone = Subject(PurgeKind.PATIENT, "DOE-4711", "").keyed_hash(KEY)
        assert rows["qa", "image viewed"] == rows["admin", "purged"] == gone
        assert session.scalar(select(func.count(Leftover.id))) == 0


def test_a_study_goes_alone_and_its_patient_with_the_last_one(database: Database, files: ImageFiles) -> None:
    with database.write() as session:
        first, second = store(files, session, "DOE-4711"), store(files, session, "DOE-4711")
        uids = [image.series.study.study_instance_uid for image in (first, second)]
    remove(database, files, Subject(PurgeKind.STUDY, uids[0]))
    with database.read() as session:
        assert session.scalars(select(Instance.id)).all() == [second.id]
        assert session.get_one(Patient, second.patient_pk).patient_id == "DOE-4711"
    assert not files.path(first.file_digest).exists() and files.path(second.file_digest).exists()
    remove(database, files, Subject(PurgeKind.STUDY, uids[1]))
    with database.read() as session:
        assert session.scalars(select(Study.id)).all() == []
        assert session.get_one(Patient, second.patient_pk).name == ""


def test_only_the_named_issuers_patient_goes(database: Database, files: ImageFiles) -> None:
    with database.write() as session:
        for issuer in ("A", "B"):
            file_image(session, file_patient(session, "DOE-4711", issuer=issuer))
    remove(database, files, Subject(PurgeKind.PATIENT, "DOE-4711", "A"))
    with database.read() as session:
        assert session.scalars(select(Patient.issuer).join(Study)).all() == ["B"]
        assert purge(database, Subject(PurgeKind.PATIENT, "DOE-4711", "A"), ADMIN, KEY) is None


def test_versions_of_others_images_that_carry_the_name_go_too(database: Database, files: ImageFiles) -> None:
    """An image of ROE that had come under DOE's name, and was corrected."""
    with database.write() as session:
        image, doe = store(files, session, "ROE"), file_patient(session, "DOE-4711")
        version = Variant(
            instance_pk=image.id,
            patient_pk=doe.id,
            superseded=True,
            file_digest="d" * 64,
            transfer_syntax_uid="1.2",
            size=1,
        )
        session.add(version)
        files.path("d" * 64).write_bytes(b"x")
    remove(database, files)
    assert not files.path("d" * 64).exists() and files.path(image.file_digest).exists()


def test_alerts_about_others_stay_without_the_name(database: Database, files: ImageFiles) -> None:
    with database.write() as session:
        user = enlist(session, Role.QA)
        doe, roe, poe = (store(files, session, label) for label in ("DOE-4711", "ROE", "POE"))
        decided = file_alert(session, roe, doe, evidence={"other": {"images": 1}})
        waits, pair = file_alert(session, poe, doe), file_alert(session, roe, doe, AlertKind.DUPLICATE_RECORD)
        dispose(session, decided.id, user, AlertState.CONFIRMED)
        join(session, doe.patient_pk, poe.patient_pk, ADMIN)
        join(session, roe.patient_pk, doe.patient_pk, ADMIN)
    remove(database, files)
    with database.read() as session:
        kept = session.get_one(Alert, decided.id)
        assert (kept.state, kept.other_patient_pk, kept.other_instance_pk, kept.evidence) == (
            AlertState.CONFIRMED,
            None,
            None,
            {"other": None},
        )
        assert session.get_one(Alert, waits.id).other_patient_pk is None and session.get(Alert, pair.id) is None
        assert session.get_one(Instance, poe.id).judge_again
        # They were one person only by the one who is gone.
        assert {patient.person_pk for patient in session.scalars(select(Patient))} == {None}


def test_decisions_and_the_trail_cannot_be_removed_otherwise(database: Database, files: ImageFiles) -> None:
    with database.write() as session:
        alert = file_alert(session, store(files, session, "DOE-4711"))
        dispose(session, alert.id, enlist(session, Role.QA), AlertState.CONFIRMED)
        record(session, "qa", AuditAction.ALERT_DISPOSED, "alert", alert.id)
    for table in ("dispositions", "audit_events"):
        with pytest.raises(SQLAlchemyError, match="only ever added"), database.write() as session:
            session.execute(Base.metadata.tables[table].delete())
    with database.read() as session:
        assert session.scalar(select(func.count(Disposition.id))) == 1


def test_no_id_is_given_out_twice(database: Database, files: ImageFiles) -> None:
    with database.write() as session:
        store(files, session, "ROE")
        image = store(files, session, "DOE-4711")
        alert = file_alert(session, image)
    remove(database, files)
    with database.write() as session:
        again = store(files, session, "DOE-4711")
        assert again.id == image.id + 1 and file_alert(session, again).id == alert.id + 1
        assert store(files, session, "DOE-4711").id == again.id + 1


def test_a_file_that_came_again_meanwhile_stays(database: Database, files: ImageFiles) -> None:
    with database.write() as session:
        image = store(files, session, "DOE-4711")
    number = purge(database, DOE, ADMIN, KEY)
    assert number is not None
    with database.write() as session:
        file_image(session, file_patient(session, "DOE-4711")).file_digest = image.file_digest
    finish(database, files, number)
    assert files.path(image.file_digest).exists()


def _purge_and_die(settings: Settings, folder: DataDir, after: int) -> None:
    """Purge, and be killed after so many files."""
    database, left = open_database(settings, folder), after
    remove_file = ImageFiles.remove

    def remove_some(files: ImageFiles, digest: str) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        remove_file(files, digest)

    ImageFiles.remove = remove_some  # type: ignore[method-assign]
    remove(database, ImageFiles(folder))


@pytest.mark.parametrize("after", [0, 2])
def test_a_purge_that_was_killed_is_finished_by_the_next(
    database: Database, settings: Settings, folder: DataDir, files: ImageFiles, after: int
) -> None:
    with database.write() as session:
        images = [store(files, session, "DOE-4711") for _ in range(4)]
    database.close()
    process = multiprocessing.get_context("fork").Process(target=_purge_and_die, args=(settings, folder, after))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert sum(files.path(image.file_digest).exists() for image in images) == 4 - after
    with database.read() as session:
        (number,) = unfinished(session)
        assert not extent(session, DOE)
    for _ in range(2):
        finish(database, files, number)
    assert b"DOE-4711" not in everything(folder)
    with closing(sqlite3.connect(folder.database)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_keyed_hash_tells_nothing_without_the_key() -> None:
    hashes = {
        subject.keyed_hash(key)
        for key in (KEY, b"j" * 32)
        for subject in (DOE, Subject(PurgeKind.STUDY, "DOE-4711"), Subject(PurgeKind.PATIENT, "DOE-4711", "A"))
    }
    assert len(hashes) == 6 and all(len(value) == 64 for value in hashes)


def test_the_preview_folder_holds_nothing_of_it(files: ImageFiles, folder: DataDir) -> None:
    for path in (files.preview_path(7), files.aligned_path(7, 9), files.aligned_path(300, 7), files.preview_path(77)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    files.remove_previews([7])
    assert [path.name for path in Path(folder.previews).rglob("*") if path.is_file()] == ["77.jpg"]
