"""The demo's score: worked out by hand for one of each error, a false alert and an echo."""

from __future__ import annotations

import pytest

from archive.database import Database
from archive.models import Instance
from archive.states import AlertKind, AlertState, ImageState
from cli.demonstration.score import Score, score
from cli.demonstration.stream import Film, Planted, Shot
from tests.archive.filing import file_alert, file_image, file_patient

PLAN = (
    ("p", "p", Planted.NOTHING),
    ("q", "q", Planted.NOTHING),
    ("p", "q", Planted.WRONG_PATIENT),
    ("r", "r2", Planted.DUPLICATE_RECORD),
    ("r", "r", Planted.NOTHING),
    ("p", "p", Planted.LATERAL),
)
SHOTS = [Shot(i, Film(person, "", False, i), label, planted) for i, (person, label, planted) in enumerate(PLAN)]


@pytest.fixture
def images(database: Database) -> list[Instance]:
    """The shots as the system would have stored them, without any alert."""
    with database.write() as session:
        return [
            file_image(
                session,
                file_patient(session, shot.label.upper()),
                state=ImageState.UNSUITABLE if shot.planted is Planted.LATERAL else ImageState.MATCHED,
            )
            for shot in SHOTS
        ]


def scored(database: Database, images: list[Instance]) -> Score:
    with database.read() as session:
        sent = [(s, i.sop_instance_uid, s.label.upper()) for s, i in zip(SHOTS, images, strict=True)]
        return score(session, sent)


def alert(
    database: Database, one: Instance, other: Instance | None, kind: AlertKind, state: AlertState = AlertState.OPEN
) -> None:
    with database.write() as session:
        file_alert(session, one, other, kind, state=state)


def test_without_alerts_all_is_missed_and_nothing_false(database: Database, images: list[Instance]) -> None:
    found = scored(database, images)
    assert found.count(Planted.WRONG_PATIENT) == (1, 0)
    assert found.count(Planted.DUPLICATE_RECORD) == (1, 0)
    assert found.count(Planted.NOTHING) == (3, 3)
    assert found.count(Planted.LATERAL) == (1, 1)
    assert not found.succeeded


@pytest.mark.parametrize("kind", [AlertKind.WRONG_PATIENT, AlertKind.PRIOR_MISMATCH])
def test_a_swap_is_found_when_its_label_is_doubted(database: Database, images: list[Instance], kind: AlertKind) -> None:
    alert(database, images[2], images[0] if kind is AlertKind.WRONG_PATIENT else None, kind)
    found = scored(database, images)
    assert found.count(Planted.WRONG_PATIENT) == (1, 1)
    assert found.false == []
    assert found.succeeded


def test_a_swap_taken_for_a_second_record_is_not_found(database: Database, images: list[Instance]) -> None:
    alert(database, images[2], images[0], AlertKind.DUPLICATE_RECORD)
    assert scored(database, images).count(Planted.WRONG_PATIENT) == (1, 0)


def test_what_the_budget_holds_back_is_not_found(database: Database, images: list[Instance]) -> None:
    alert(database, images[2], images[0], AlertKind.WRONG_PATIENT, AlertState.HELD)
    assert scored(database, images).count(Planted.WRONG_PATIENT) == (1, 0)


def test_a_second_record_is_found_whichever_image_gives_it_away(database: Database, images: list[Instance]) -> None:
    alert(database, images[4], images[3], AlertKind.DUPLICATE_RECORD)
    found = scored(database, images)
    assert found.count(Planted.DUPLICATE_RECORD) == (1, 1)
    assert found.false == []


def test_an_alert_on_a_right_image_is_false(database: Database, images: list[Instance]) -> None:
    alert(database, images[1], images[0], AlertKind.WRONG_PATIENT)
    found = scored(database, images)
    assert len(found.false) == 1
    assert found.count(Planted.NOTHING) == (3, 2)


def test_an_alert_that_points_at_a_misfiled_image_is_an_echo(database: Database, images: list[Instance]) -> None:
    alert(database, images[0], images[2], AlertKind.DUPLICATE_RECORD)
    found = scored(database, images)
    assert (len(found.false), len(found.echoes)) == (0, 1)


def test_an_image_that_was_never_stored_spoils_the_run(database: Database, images: list[Instance]) -> None:
    alert(database, images[2], images[0], AlertKind.WRONG_PATIENT)
    with database.read() as session:
        sent = [(s, i.sop_instance_uid, s.label.upper()) for s, i in zip(SHOTS, images, strict=True)]
        lost = score(session, [*sent, (SHOTS[0], "2.25.404", "P")])
    assert lost.unsettled == 1
    assert not lost.succeeded
