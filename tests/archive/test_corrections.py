"""Corrected images: the right version under the right label, the earlier bytes kept, alerts closed by themselves."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.changes import changes_since
from archive.corrections import check_corrected, replace_rejected
from archive.database import Database
from archive.intake import Header, Outcome, Registered, StoredFile, register
from archive.models import Alert, AuditEvent, Code, Instance, Patient, Study, Variant
from archive.states import AlertKind, AlertState, ImageState
from config.settings import Settings
from tests.archive.filing import file_alert, file_code, file_image, file_patient

HEADER = Header(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
    sop_instance_uid="1.1",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    study_instance_uid="1.2",
    series_instance_uid="1.3",
    patient_id="WRONG",
    accession_number="A1",
)
RIGHT = dataclasses.replace(HEADER, patient_id="RIGHT", issuer="HOSP", name="Doe^Jane")
PIXELS = "5" * 64


def send(database: Database, settings: Settings, header: Header, letter: str) -> Registered:
    return register(database, settings, header, StoredFile(letter * 64, 100, "PACS"))


def matched(database: Database, settings: Settings, state: AlertState = AlertState.OPEN) -> tuple[int, int]:
    """An image under WRONG that was encoded and matched, and the alert that says so."""
    number = send(database, settings, HEADER, "a").instance_id
    with database.write() as session:
        image = session.get_one(Instance, number)
        image.state, image.pixel_sha256, image.verdict = ImageState.MATCHED, PIXELS, "wrong_patient"
        image.righting = "turned by 180°"
        file_code(session, image, bytes(36), 6)
        return number, file_alert(session, image, state=state).id


def labels(session: Session) -> list[str]:
    return list(session.scalars(select(Patient.patient_id).join(Study, Study.patient_pk == Patient.id)))


def causes(database: Database) -> list[str]:
    with database.read() as session:
        return [alert.evidence.get("cause") for alert in session.scalars(select(Alert)) if alert.evidence]


@pytest.mark.parametrize("state", [AlertState.OPEN, AlertState.HELD, AlertState.CONFIRMED])
def test_another_patient_id_moves_the_image_and_closes_its_alert(
    database: Database, settings: Settings, state: AlertState
) -> None:
    number, alert = matched(database, settings, state)
    sent = send(database, settings, RIGHT, "b")
    assert (sent.instance_id, sent.outcome) == (number, Outcome.CORRECTED)
    with database.read() as session:
        image = session.get_one(Instance, number)
        assert (image.state, image.file_digest, image.patient.patient_id) == (ImageState.RECEIVED, "b" * 64, "RIGHT")
        assert (image.verdict, image.pixel_sha256, session.get(Code, number)) == ("", None, None)
        assert image.righting == ""
        (kept,) = session.scalars(select(Variant))
        assert (kept.file_digest, kept.superseded, kept.pixel_sha256) == ("a" * 64, True, PIXELS)
        assert labels(session) == ["RIGHT"]
        closed = session.get_one(Alert, alert)
        assert (closed.state, closed.resolution) == (AlertState.RESOLVED, "corrected")
        assert changes_since(session, 0).images == {number}
        actions = session.scalars(select(AuditEvent.action)).all()
        assert actions.count("image corrected by another version") == 2
        assert "alert closed: the study was corrected" in actions
    assert send(database, settings, RIGHT, "b").outcome is Outcome.SAME


def test_the_replaced_version_again_undoes_no_correction_but_is_reported_once(
    database: Database, settings: Settings
) -> None:
    number, _ = matched(database, settings)
    send(database, settings, RIGHT, "b")
    assert [send(database, settings, HEADER, "a").outcome for _ in range(2)] == [Outcome.VARIANT, Outcome.SAME]
    assert causes(database) == ["replaced_again"]
    with database.read() as session:
        assert session.get_one(Instance, number).file_digest == "b" * 64
        assert session.scalar(select(func.count(Variant.id))) == 1
    # With any change to it, it is a statement of its own.
    assert send(database, settings, HEADER, "c").outcome is Outcome.CORRECTED
    with database.read() as session:
        assert session.get_one(Instance, number).patient.patient_id == "WRONG"
        assert sorted(session.scalars(select(Variant.file_digest))) == ["a" * 64, "b" * 64]


def test_other_bytes_that_do_not_say_whose_image_it_is_correct_nothing(database: Database, settings: Settings) -> None:
    number, alert = matched(database, settings)
    nobody = dataclasses.replace(HEADER, patient_id="")
    assert [send(database, settings, header, "bc"[i]).outcome for i, header in enumerate((HEADER, nobody))] == [
        Outcome.VARIANT,
        Outcome.VARIANT,
    ]
    assert causes(database) == ["uid_conflict", "uid_conflict"]
    with database.read() as session:
        assert session.get_one(Instance, number).file_digest == "a" * 64
        assert session.get_one(Alert, alert).state is AlertState.OPEN


def test_after_rejection_a_new_version_under_the_same_id_is_a_correction(
    database: Database, settings: Settings
) -> None:
    number, alert = matched(database, settings, AlertState.CONFIRMED)
    assert send(database, settings, HEADER, "b").outcome is Outcome.CORRECTED
    with database.read() as session:
        assert session.get_one(Instance, number).file_digest == "b" * 64
        assert session.get_one(Alert, alert).state is AlertState.RESOLVED


def test_a_variant_from_before_becomes_the_image_when_it_comes_as_a_correction(
    database: Database, settings: Settings
) -> None:
    number, _ = matched(database, settings)
    assert send(database, settings, HEADER, "b").outcome is Outcome.VARIANT
    with database.write() as session:
        file_alert(
            session, session.get_one(Instance, number), kind=AlertKind.PRIOR_MISMATCH
        ).state = AlertState.CONFIRMED
    assert send(database, settings, HEADER, "b").outcome is Outcome.CORRECTED
    with database.read() as session:
        assert [(one.file_digest, one.superseded) for one in session.scalars(select(Variant))] == [("a" * 64, True)]
        assert {alert.state for alert in session.scalars(select(Alert))} == {AlertState.RESOLVED}


@pytest.mark.parametrize(("before", "after", "alerts"), [(PIXELS, PIXELS, 0), (PIXELS, "6" * 64, 1), (None, PIXELS, 1)])
def test_a_correction_with_other_pixels_is_shown_to_people(
    database: Database, settings: Settings, before: str | None, after: str, alerts: int
) -> None:
    number, _ = matched(database, settings)
    with database.write() as session:
        session.get_one(Instance, number).pixel_sha256 = before
    send(database, settings, RIGHT, "b")
    for _ in range(2):
        with database.write() as session:
            session.get_one(Instance, number).pixel_sha256 = after
            check_corrected(session, settings, [number])
    assert causes(database) == ["other_pixels"] * alerts


def test_a_rejected_image_is_set_aside_when_its_pixels_come_under_another_label(database: Database) -> None:
    with database.write() as session:
        wrong, right = file_patient(session, "WRONG"), file_patient(session, "RIGHT")
        rejected, disputed = (file_image(session, wrong, pixel_sha256=PIXELS) for _ in range(2))
        alert = file_alert(session, rejected, state=AlertState.CONFIRMED)
        file_alert(session, disputed)
        again, new = file_image(session, wrong, pixel_sha256=PIXELS), file_image(session, right, pixel_sha256=PIXELS)
        assert replace_rejected(session, again) == []
        assert replace_rejected(session, new) == [rejected.id]
        assert (rejected.state, alert.state) == (ImageState.UNSUITABLE, AlertState.RESOLVED)
        assert disputed.state is ImageState.MATCHED and changes_since(session, 0).images == {rejected.id}
