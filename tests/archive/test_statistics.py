"""The system in numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery import Celery

from archive.database import Database
from archive.models import Quarantined, Variant
from archive.states import AlertKind, AlertState, ImageState
from archive.statistics import dead_letters, models_in_use, quarantined_files, rates, system_status
from config.broker import Queue, Task, celery_app
from config.paths import DataDir
from config.settings import Settings
from tests.archive.filing import file_alert, file_code, file_image, file_patient


def test_status_of_an_empty_system_without_redis(database: Database, settings: Settings, folder: DataDir) -> None:
    assert system_status(database, settings, folder).as_json() == {
        "images": {"RECEIVED": 0, "ENCODED": 0, "MATCHED": 0, "UNSUITABLE": 0, "FAILED": 0},
        "queues": {"encode": None, "match": None, "query": None, "notify": None, "maintenance": None},
        "dead_letters": 0,
        "open_alerts": 0,
        "open_audit_alerts": 0,
        "held_alerts": 0,
        "open_alerts_by_kind": {
            "wrong_patient": 0,
            "prior_mismatch": 0,
            "duplicate_record": 0,
            "duplicate_image": 0,
            "audit_wrong_patient": 0,
            "audit_prior_mismatch": 0,
            "audit_duplicate_record": 0,
            "audit_duplicate_image": 0,
        },
        "quarantined": 0,
        "variants": 0,
        "patients": 0,
        "gallery_images": 0,
        "notifications": {"pending": 0, "dead": 0},
        "commitments": {"pending": 0, "dead": 0},
        "prior_searches": {"pending": 0, "dead": 0},
        "retrieved_days": {"pending": 0, "dead": 0},
        "last_received": None,
    }


def test_status_counts_what_is_there(database: Database, settings: Settings, folder: DataDir) -> None:
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    with database.write() as session:
        patient = file_patient(session, "P-1")
        image = file_image(session, patient)
        file_image(session, patient, state=ImageState.FAILED, reason="pixel data ends early")
        file_image(session, patient, state=ImageState.RECEIVED, received_at=at)
        file_alert(session, image)
        file_alert(session, image, kind=AlertKind.DUPLICATE_IMAGE, state=AlertState.UNDER_INVESTIGATION)
        file_alert(session, image, kind=AlertKind.PRIOR_MISMATCH, state=AlertState.HELD)
        file_alert(session, image, kind=AlertKind.AUDIT_WRONG_PATIENT)
        file_alert(session, image, kind=AlertKind.AUDIT_PRIOR_MISMATCH, state=AlertState.HELD)
        session.add(Quarantined(file_name="a", status=0xC210, reason="no pixel data", size=3))
        session.add(
            Variant(instance_pk=image.id, patient_pk=patient.id, file_digest="b", transfer_syntax_uid="1.2", size=4)
        )
    found = system_status(database, settings, folder).as_json()
    assert found["images"] == {"RECEIVED": 1, "ENCODED": 0, "MATCHED": 1, "UNSUITABLE": 0, "FAILED": 1}
    assert (found["dead_letters"], found["gallery_images"], found["patients"]) == (1, 1, 1)
    assert (found["open_alerts"], found["held_alerts"], found["open_alerts_by_kind"]["duplicate_image"]) == (2, 1, 1)
    assert (found["open_audit_alerts"], found["open_alerts_by_kind"]["audit_wrong_patient"]) == (1, 1)
    assert (found["quarantined"], found["variants"]) == (1, 1)
    assert found["last_received"] == at.isoformat()
    with database.read() as session:
        assert [image.reason for image in dead_letters(session)] == ["pixel data ends early"]
        assert [file.reason for file in quarantined_files(session)] == ["no pixel data"]


def test_queue_lengths_are_those_of_celery(
    database: Database, settings: Settings, folder: DataDir, queue_server: None
) -> None:
    app: Celery = celery_app(settings, folder)
    for number in range(3):
        app.send_task(str(Task.ENCODE), args=[number])
    app.send_task(str(Task.MATCH), args=[1])
    queues = system_status(database, settings, folder).queues
    assert queues == {Queue.ENCODE: 3, Queue.MATCH: 1, Queue.QUERY: 0, Queue.NOTIFY: 0, Queue.MAINTENANCE: 0}


def test_rates_count_each_minute(database: Database) -> None:
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    with database.write() as session:
        patient = file_patient(session, "P-1")
        for seconds in (1, 30, 61, 3600):
            moment = at - timedelta(seconds=seconds)
            file_image(session, patient, received_at=moment - timedelta(minutes=1), matched_at=moment)
        found = rates(session, at)
    assert found.matched[-3:] == (0, 1, 2)
    assert found.received[-3:] == (1, 2, 0)
    assert (sum(found.matched), len(found.matched)) == (3, 30)
    assert found.matched_per_minute == 3 / 5


def test_models_in_use_are_counted(database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "P-1")
        for _ in range(2):
            file_code(session, file_image(session, patient), bytes(4), 2)
        assert models_in_use(session) == {"0123456789ab": 2}
