"""An image's steps: each leaves the row as the next worker needs it, and doing one twice changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import progress
from archive.database import Database
from archive.models import Code, Instance, Patient, Series, Study, now
from archive.states import ImageState
from config.settings import Settings, Workers

PICTURE = progress.Picture(rows=2048, columns=1760, pixel_sha256="ab" * 32, view="frontal")


def encoding(model_id: str = "model-1") -> progress.Encoding:
    return progress.Encoding(
        model_id,
        np.array([0.6, 0.8], dtype=np.float32),
        np.array([255, 1], dtype=np.uint8),
        np.array([[0.0, 0.5, 1.0]] * 4, dtype=np.float32),
        (0.25, 1.0, 0.0, 0.875),
    )


def add_image(session: Session, uid: str = "1.2.3", state: ImageState = ImageState.RECEIVED) -> int:
    patient = session.scalar(select(Patient)) or Patient(patient_id="P1")
    study = Study(study_instance_uid="1.2", patient=patient)
    series = Series(series_instance_uid="1.2.0", study=study)
    if patient.id is not None:
        series = session.scalars(select(Series)).one()
    else:
        session.add(series)
        session.flush()
    image = Instance(
        sop_instance_uid=uid,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        series=series,
        patient=patient,
        file_digest="cd" * 32,
        size=1,
        state=state,
    )
    session.add(image)
    session.flush()
    return image.id


def image(database: Database, instance_id: int) -> Instance:
    with database.read() as session:
        return session.get_one(Instance, instance_id)


@pytest.fixture
def instance_id(database: Database) -> int:
    with database.write() as session:
        return add_image(session)


@pytest.fixture
def options(settings: Settings) -> Workers:
    return settings.workers.model_copy(update={"max_attempts": 3, "retry_seconds": 5.0, "retry_max_seconds": 8.0})


def test_an_encoded_image_keeps_its_codes_bit_for_bit(database: Database, instance_id: int) -> None:
    with database.write() as session:
        assert progress.record_encoding(session, instance_id, PICTURE, encoding())
    found = image(database, instance_id)
    assert (found.state, found.rows, found.columns, found.view) == (ImageState.ENCODED, 2048, 1760, "frontal")
    assert found.pixel_sha256 == PICTURE.pixel_sha256 and found.encoded_at is not None
    with database.read() as session:
        code = session.get_one(Code, instance_id)
    assert np.frombuffer(code.embedding, "<f4").tolist() == np.array([0.6, 0.8], np.float32).tolist()
    assert list(code.code) == [255, 1]
    assert list(code.attention) == [0, 128, 255] * 4 and code.attention_rows == 4
    assert code.box == [0.25, 1.0, 0.0, 0.875]


def test_what_was_done_to_an_image_is_that_of_its_present_codes(database: Database, instance_id: int) -> None:
    for done in ("turned by 180°", "", "inverted"):
        with database.write() as session:
            progress.record_encoding(session, instance_id, PICTURE, replace(encoding(), righting=done))
        assert image(database, instance_id).righting == done


def test_the_reconciler_leaves_a_just_encoded_image_to_the_direct_way(database: Database, instance_id: int) -> None:
    with database.write() as session:
        progress.record_encoding(session, instance_id, PICTURE, encoding())
        assert progress.due(session, ImageState.ENCODED, 10) == []
        session.get_one(Instance, instance_id).due_at -= timedelta(seconds=progress.GRACE_SECONDS)
        assert progress.due(session, ImageState.ENCODED, 10) == [instance_id]


def test_encoding_twice_keeps_one_code_and_the_state(database: Database, instance_id: int) -> None:
    for model in ("model-1", "model-2"):
        with database.write() as session:
            progress.record_encoding(session, instance_id, PICTURE, encoding(model))
    with database.read() as session:
        assert [code.model_id for code in session.scalars(select(Code))] == ["model-2"]
    assert image(database, instance_id).state is ImageState.ENCODED


def test_new_weights_do_not_take_back_a_verdict(database: Database) -> None:
    with database.write() as session:
        matched = add_image(session, state=ImageState.MATCHED)
        assert progress.record_encoding(session, matched, PICTURE, encoding("model-2"))
        assert not progress.mark_unsuitable(session, matched, "no chest")
    assert image(database, matched).state is ImageState.MATCHED


@pytest.mark.parametrize("state", [ImageState.UNSUITABLE, ImageState.FAILED])
def test_an_image_set_aside_gets_no_codes(database: Database, state: ImageState) -> None:
    with database.write() as session:
        aside = add_image(session, state=state)
        assert not progress.record_encoding(session, aside, PICTURE, encoding())
        assert session.get(Code, aside) is None
    assert image(database, aside).state is state


def test_an_unsuitable_image_says_why(database: Database, instance_id: int) -> None:
    with database.write() as session:
        assert progress.mark_unsuitable(session, instance_id, "view position says lateral", PICTURE)
    found = image(database, instance_id)
    assert (found.state, found.reason, found.rows) == (ImageState.UNSUITABLE, "view position says lateral", 2048)


def test_pauses_double_up_to_the_limit(options: Workers) -> None:
    assert [progress.pause_after(n, options) for n in (1, 2, 3, 100_000)] == [5.0, 8.0, 8.0, 8.0]
    longer = options.model_copy(update={"retry_max_seconds": 100.0})
    assert [progress.pause_after(n, longer) for n in (1, 2, 3, 4, 5, 6)] == [5.0, 10.0, 20.0, 40.0, 80.0, 100.0]


def test_failures_delay_the_next_attempt_and_end_in_a_dead_letter(
    database: Database, instance_id: int, options: Workers
) -> None:
    for attempt, (state, pause) in enumerate([(ImageState.RECEIVED, 5), (ImageState.RECEIVED, 8)], start=1):
        with database.write() as session:
            assert progress.record_failure(session, instance_id, "the decoder crashed", options) is state
            assert progress.due(session, ImageState.RECEIVED, 10) == []
        found = image(database, instance_id)
        assert found.attempts == attempt and found.reason == "the decoder crashed"
        assert timedelta(seconds=pause - 2) < found.due_at - now() <= timedelta(seconds=pause)
    with database.write() as session:
        assert progress.record_failure(session, instance_id, "the decoder crashed", options) is ImageState.FAILED


def test_a_dead_letter_that_is_tried_again_starts_afresh(
    database: Database, instance_id: int, options: Workers
) -> None:
    with database.write() as session:
        session.get_one(Instance, instance_id).righting = "inverted"
        for _ in range(3):
            progress.record_failure(session, instance_id, "no", options)
        assert progress.retry(session, instance_id)
        assert progress.due(session, ImageState.RECEIVED, 10) == [instance_id]
        assert not progress.retry(session, instance_id)
    found = image(database, instance_id)
    assert (found.state, found.attempts, found.reason, found.righting) == (ImageState.RECEIVED, 0, "", "")


def test_a_matched_image_never_becomes_a_dead_letter(database: Database, options: Workers) -> None:
    with database.write() as session:
        matched = add_image(session, state=ImageState.MATCHED)
        progress.record_encoding(session, matched, PICTURE, encoding("model-1"))
        session.get_one(Instance, matched).due_at = now()
        session.flush()
        assert progress.outdated(session, "model-2", options, 10) == [matched]
        assert progress.outdated(session, "model-1", options, 10) == []
        for _ in range(options.max_attempts):
            assert progress.record_failure(session, matched, "unreadable", options) is ImageState.MATCHED
        session.get_one(Instance, matched).due_at = now()
        session.flush()
        assert progress.outdated(session, "model-2", options, 10) == []


def test_the_longest_due_comes_first_and_what_is_handed_on_waits(database: Database) -> None:
    with database.write() as session:
        ids = [add_image(session, uid=f"1.2.{n}") for n in range(3)]
        for instance_id, age in zip(ids, (10, 30, 20), strict=True):
            session.get_one(Instance, instance_id).due_at = now() - timedelta(seconds=age)
        session.flush()
        assert progress.due(session, ImageState.RECEIVED, 10) == [ids[1], ids[2], ids[0]]
        assert progress.due(session, ImageState.RECEIVED, 1) == [ids[1]]
        progress.postpone(session, ids[1:], 60.0)
        assert progress.due(session, ImageState.RECEIVED, 10) == [ids[0]]


def test_an_image_that_is_gone_harms_nobody(database: Database, options: Workers) -> None:
    with database.write() as session:
        assert not progress.record_encoding(session, 99, PICTURE, encoding())
        assert not progress.mark_unsuitable(session, 99, "no")
        assert progress.record_failure(session, 99, "no", options) is None
        assert not progress.retry(session, 99)
