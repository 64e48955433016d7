"""Joined and separated labels, as the matching and the index see them: at once, and the same after a restart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import select

from archive import progress
from archive.corrections import check_corrected
from archive.database import Database
from archive.intake import Header, Outcome, StoredFile, register
from archive.links import Author, join, unjoin
from archive.models import Alert, Code, Instance, Patient, User
from archive.review import dispose
from archive.states import AlertKind, AlertState, ImageState, Role
from config.paths import DataDir
from config.settings import Settings
from tests.people import NETWORK, Crowd
from workers.index_owner import IndexOwner, open_owner
from workers.match import match_image

PATIENTS = 12
QA = Author("qa")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The defaults with exact search."""
    return settings.model_copy(update={"index": settings.index.model_copy(update={"kind": "exact"})})


@pytest.fixture
def crowd(database: Database) -> Crowd:
    """Patients P0 to P11 with two matched images each, and a user; the same people on another day."""
    with database.write() as session:
        for person in range(PATIENTS):
            for _ in range(2):
                Crowd().take(session, person, state=ImageState.MATCHED)
        session.add(User(name="qa", password_hash="-", role=Role.QA))
    return Crowd(day=1)


@pytest.fixture
def owner(crowd: Crowd, database: Database, settings: Settings, folder: DataDir) -> Iterator[IndexOwner]:
    opened = open_owner(database, settings, folder, NETWORK)
    yield opened
    opened.close()


def judge(owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd, person: int, label: str) -> str:
    with database.write() as session:
        number = crowd.take(session, person, label).id
    return match_image(owner, database, settings, number)


def judge_those_that_wait(owner: IndexOwner, database: Database, settings: Settings) -> list[str]:
    with database.read() as session:
        waiting = progress.to_judge_again(session, 100)
    return [match_image(owner, database, settings, number) for number in waiting]


def patient(database: Database, label: str) -> int:
    with database.read() as session:
        return session.scalars(select(Patient.id).where(Patient.patient_id == label)).one()


def alerts(database: Database) -> list[Alert]:
    with database.read() as session:
        return list(session.scalars(select(Alert).order_by(Alert.id)))


def decide(database: Database, alert: Alert, decision: AlertState) -> None:
    with database.write() as session:
        dispose(session, alert.id, session.scalars(select(User)).one(), decision)


def contents(owner: IndexOwner) -> dict[int, tuple[int, bytes, bytes]]:
    """Everything that owner and index hold: person, code and embedding by id."""
    ids = owner.index.ids
    persons, codes = owner.rows.at(ids)
    embeddings = np.round(owner.index.embeddings(ids), 5)
    return {
        number: (person, code.tobytes(), embedding.tobytes())
        for number, person, code, embedding in zip(ids.tolist(), persons.tolist(), codes, embeddings, strict=True)
    }


def test_one_person_under_two_labels_is_no_finding_once_they_are_joined(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    assert judge(owner, database, settings, crowd, 7, "again") == "duplicate_record"
    (alert,) = alerts(database)
    decide(database, alert, AlertState.SAME_PERSON)
    assert judge(owner, database, settings, crowd, 7, "again") == "consistent"
    assert judge(owner, database, settings, crowd, 7, "P7") == "consistent"
    assert owner.rows.person_count == PATIENTS and len(alerts(database)) == 1


def test_taking_it_back_brings_the_finding_back(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    judge(owner, database, settings, crowd, 7, "again")
    (alert,) = alerts(database)
    decide(database, alert, AlertState.SAME_PERSON)
    judge(owner, database, settings, crowd, 7, "again")
    decide(database, alert, AlertState.OPEN)
    assert set(judge_those_that_wait(owner, database, settings)) == {"duplicate_record"}
    (alert,) = alerts(database)
    assert alert.state is AlertState.OPEN and judge_those_that_wait(owner, database, settings) == []


def test_alerts_that_the_link_answers_or_touches_close_with_their_reason(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    """P3's images show person 7, who has the record P7 too."""
    assert judge(owner, database, settings, crowd, 7, "P3") == "wrong_patient"
    assert judge(owner, database, settings, crowd, 100, "P3") == "prior_mismatch"
    one, another = patient(database, "P3"), patient(database, "P7")
    with database.write() as session:
        join(session, one, another, QA)
    assert judge_those_that_wait(owner, database, settings) == ["prior_mismatch"]
    answered, still = alerts(database)
    assert (answered.state, answered.resolution, still.state) == (AlertState.RESOLVED, "joined", AlertState.OPEN)
    with database.write() as session:
        unjoin(session, one, another, QA)
    assert sorted(judge_those_that_wait(owner, database, settings)) == ["prior_mismatch", "wrong_patient"]
    # Both are back; of one patient's, the list shows one at a time.
    assert {alert.state for alert in alerts(database)} == {AlertState.OPEN, AlertState.HELD}


def test_what_was_no_error_is_not_raised_again_until_that_is_taken_back(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    judge(owner, database, settings, crowd, 7, "again")
    (alert,) = alerts(database)
    decide(database, alert, AlertState.NOT_AN_ERROR)
    for label in ("again", "again"):
        assert judge(owner, database, settings, crowd, 7, label) == "duplicate_record"
    assert [one.state for one in alerts(database)] == [AlertState.NOT_AN_ERROR]
    decide(database, alert, AlertState.OPEN)
    judge_those_that_wait(owner, database, settings)
    assert [(one.kind, one.state) for one in alerts(database)] == [(AlertKind.DUPLICATE_RECORD, AlertState.OPEN)]


def test_a_link_made_while_an_image_is_judged_is_not_passed_over(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(owner, database, settings, crowd, 3, "again")
    one, another = patient(database, "again"), patient(database, "P3")
    examine = match_image.__globals__["examine"]

    def join_meanwhile(*arguments: object) -> object:
        found = examine(*arguments)
        monkeypatch.undo()
        with database.write() as session:
            join(session, one, another, QA)
        return found

    monkeypatch.setattr("workers.match.examine", join_meanwhile)
    assert judge(owner, database, settings, crowd, 3, "again") == "consistent"
    assert [alert.state for alert in alerts(database)] == [AlertState.RESOLVED]


def test_the_index_knows_at_once_and_after_a_restart(
    owner: IndexOwner, database: Database, settings: Settings, folder: DataDir, crowd: Crowd
) -> None:
    with database.write() as session:
        join(session, patient(database, "P2"), patient(database, "P5"), QA)
    owner.catch_up()
    after = contents(owner)
    assert owner.rows.person_count == PATIENTS - 1
    owner.close()
    again = open_owner(database, settings, folder, NETWORK)
    assert contents(again) == after
    again.close()


def correct(database: Database, settings: Settings, number: int, label: str) -> None:
    """The image comes again with another Patient ID, is decoded and gives the same codes."""
    with database.read() as session:
        image, code = session.get_one(Instance, number), session.get_one(Code, number)
    header = Header(image.sop_class_uid, image.sop_instance_uid, image.transfer_syntax_uid, "7.1", "7.2", label)
    assert register(database, settings, header, StoredFile("f" * 64, 1)).outcome is Outcome.CORRECTED
    encoding = progress.Encoding(
        code.model_id,
        np.frombuffer(code.embedding, "<f4"),
        np.frombuffer(code.code, np.uint8),
        np.zeros((6, 6), np.float32),
    )
    with database.write() as session:
        progress.record_encoding(session, number, progress.Picture(1, 1, image.pixel_sha256 or "", "PA"), encoding)
        check_corrected(session, settings, [number])


def test_a_corrected_image_closes_its_alert_and_counts_for_the_right_patient(
    owner: IndexOwner, database: Database, settings: Settings, folder: DataDir, crowd: Crowd
) -> None:
    assert judge(owner, database, settings, crowd, 7, "P3") == "wrong_patient"
    (alert,) = alerts(database)
    correct(database, settings, alert.instance_pk, "P7")
    owner.catch_up()
    assert alert.instance_pk not in owner.index
    assert match_image(owner, database, settings, alert.instance_pk) == "consistent"
    (alert,) = alerts(database)
    assert (alert.state, alert.resolution) == (AlertState.RESOLVED, "corrected")
    assert owner.rows.images_of(patient(database, "P7")) == 3
    before = contents(owner)
    owner.close()
    again = open_owner(database, settings, folder, NETWORK)
    assert contents(again) == before
    again.close()


def test_a_rejected_image_that_is_sent_under_the_right_label_is_no_duplicate(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    judge(owner, database, settings, crowd, 7, "P3")
    (alert,) = alerts(database)
    decide(database, alert, AlertState.CONFIRMED)
    with database.write() as session:
        twin = crowd.take(session, 7, "P7")
        twin.pixel_sha256 = session.get_one(Instance, alert.instance_pk).pixel_sha256
    assert match_image(owner, database, settings, twin.id) == "consistent"
    (alert,) = alerts(database)
    assert alert.state is AlertState.RESOLVED
    owner.catch_up()
    assert alert.instance_pk not in owner.index and twin.id in owner.index


def test_an_image_that_is_judged_again_stays_in_the_gallery(
    owner: IndexOwner, database: Database, settings: Settings, crowd: Crowd
) -> None:
    judge(owner, database, settings, crowd, 100, "P3")
    with database.write() as session:
        join(session, patient(database, "P3"), patient(database, "P4"), QA)
        waiting = session.scalars(select(Instance).where(Instance.judge_again)).one()
        first = waiting.matched_at
    assert waiting.id in owner.index and waiting.state is ImageState.MATCHED
    judge_those_that_wait(owner, database, settings)
    with database.read() as session:
        again = session.get_one(Instance, waiting.id)
        assert (again.matched_at, again.judge_again, again.id in owner.index) == (first, False, True)
