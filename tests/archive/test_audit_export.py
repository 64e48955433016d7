"""What a receiver of audit messages has still to be told: in order, by study, nothing twice, nothing lost."""

from __future__ import annotations

import pytest

from archive import audit_export
from archive.audit import AuditAction, record
from archive.audit_export import next_batch, record_told
from archive.database import Database
from archive.models import RetrievedSeries
from archive.queries import note_query
from tests.archive.filing import file_alert, file_image, file_patient


def told(database: Database, receiver: str = "file") -> audit_export.Batch:
    batch = next_batch(database, receiver)
    with database.write() as session:
        record_told(session, receiver, batch)
    return batch


def test_events_come_with_patient_and_study(database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "P1", "Doe^Jane", "HOSP")
        image = file_image(session, patient, accession="A7")
        alert = file_alert(session, image)
        record(session, "anna", AuditAction.SIGNED_IN, "user", 1, address="10.0.0.9")
        record(session, "anna", AuditAction.IMAGE_VIEWED, "instance", image.id, patient.id)
        record(session, "anna", AuditAction.ALERT_DISPOSED, "alert", alert.id, patient.id)
    login, view, disposal = next_batch(database, "file").done
    assert (login.user, login.action, login.address, login.patient, login.study) == (
        "anna",
        "signed in",
        "10.0.0.9",
        None,
        None,
    )
    for event in (view, disposal):
        assert event.patient == audit_export.Subject("P1", "HOSP", "Doe^Jane")
        assert event.study is not None
        assert (event.study.accession_number, sum(event.study.classes.values())) == ("A7", 1)


def test_images_are_grouped_by_study_and_sender(database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "P1")
        first = file_image(session, patient, calling_ae="CR1")
        for sender in ("CR1", "CR2"):
            again = file_image(session, patient, calling_ae=sender)
            again.series.study_pk = first.series.study_pk
    found = next_batch(database, "file").received
    assert [(one.calling_ae, sum(one.study.classes.values())) for one in found] == [("CR1", 2), ("CR2", 1)]


def test_images_that_were_asked_for_are_told_apart(database: Database) -> None:
    with database.write() as session:
        first = file_image(session, file_patient(session, "P1"), calling_ae="PACS1")
        again = file_image(session, first.patient, calling_ae="PACS1")
        again.series.study_pk = first.series.study_pk
        session.add(RetrievedSeries(series_instance_uid=again.series.series_instance_uid))
    found = next_batch(database, "file").received
    assert [(one.requested, sum(one.study.classes.values())) for one in found] == [(False, 1), (True, 1)]


def test_queries_to_the_pacs_are_told_once_with_their_patient(database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "P1", "Doe^Jane", "HOSP")
        note_query(session, "PACS1", "1.2.840.10008.5.1.4.1.2.2.1", b"one", patient_pk=patient.id)
        note_query(session, "PACS1", "1.2.840.10008.5.1.4.1.2.2.2", b"two", "1.2.3")
    found = told(database).asked
    assert [(one.peer, one.sop_class_uid[-1], one.identifier) for one in found] == [
        ("PACS1", "1", b"one"),
        ("PACS1", "2", b"two"),
    ]
    assert [one.patient for one in found] == [audit_export.Subject("P1", "HOSP", "Doe^Jane"), None]
    assert len(told(database)) == 0
    assert len(next_batch(database, "syslog").asked) == 2


def test_a_receiver_is_told_everything_once_and_others_on_their_own(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_export, "EVENTS", 2)
    monkeypatch.setattr(audit_export, "IMAGES", 2)
    with database.write() as session:
        for number in range(5):
            file_image(session, file_patient(session, f"P{number}"))
            record(session, f"user {number}", AuditAction.SIGNED_IN)
    batches = [told(database) for _ in range(4)]
    assert [event.user for batch in batches for event in batch.done] == [f"user {number}" for number in range(5)]
    assert [one.patient.patient_id for batch in batches for one in batch.received] == [f"P{n}" for n in range(5)]
    assert len(told(database)) == 0
    assert len(next_batch(database, "syslog")) == 4


def test_what_was_not_taken_comes_again(database: Database) -> None:
    with database.write() as session:
        record(session, "anna", AuditAction.SIGNED_IN)
    assert next_batch(database, "file").done == next_batch(database, "file").done != ()
