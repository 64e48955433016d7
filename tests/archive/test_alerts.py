"""Each finding becomes one alert; estimates keep to the budget, the most probable first; facts always come through."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from archive.alerts import (
    Finding,
    FindingInvalid,
    alert_json,
    conflict_key,
    label_key,
    list_alerts,
    pixels_key,
    raise_alert,
    record_key,
)
from archive.database import Database
from archive.models import Alert, Disposition, Instance, Notification, User, now
from archive.states import AlertKind, AlertState, Role
from config.settings import Settings
from tests.filed import file_image

START = now() - timedelta(hours=1)


def add_image(database: Database, number: int, patient: str = "P1", study: str = "") -> Instance:
    """One image, in a study of its own unless told, matched `number` seconds after the first."""
    with database.write() as session:
        return file_image(session, patient, study, matched_at=START + timedelta(seconds=number))


def budget(settings: Settings, per_1000: float, window: int, webhook: str = "") -> Settings:
    return settings.model_copy(
        update={
            "verdict": settings.verdict.model_copy(update={"alerts_per_1000": per_1000, "budget_window": window}),
            "notify": settings.notify.model_copy(update={"webhook_url": webhook}),
        }
    )


def estimate(image: Instance, probability: float) -> Finding:
    return Finding(label_key(image.id), AlertKind.WRONG_PATIENT, probability, image.id, image.patient_pk)


def states(database: Database) -> dict[float, AlertState]:
    with database.read() as session:
        return {alert.probability: alert.state for alert in session.scalars(select(Alert))}


def test_the_same_finding_twice_is_one_alert(database: Database, settings: Settings) -> None:
    image = add_image(database, 1)
    with database.write() as session:
        first = raise_alert(session, settings, estimate(image, 0.7)).id
    with database.write() as session:
        assert raise_alert(session, settings, estimate(image, 0.7)).id == first
        assert session.scalar(select(func.count(Alert.id))) == 1


def test_keys_tell_findings_apart_and_a_pair_of_labels_has_one_key(database: Database) -> None:
    assert record_key(3, 7) == record_key(7, 3)
    assert len({label_key(1), record_key(1, 1), pixels_key(1), conflict_key(1, "a" * 64)}) == 4
    assert len(conflict_key(2**62, "a" * 64)) <= 96


def test_stronger_evidence_updates_an_alert_until_somebody_decides(database: Database, settings: Settings) -> None:
    image = add_image(database, 1)
    with database.write() as session:
        user = User(name="qa", password_hash="-", role=Role.QA)
        session.add(user)
        alert = raise_alert(session, settings, estimate(image, 0.3))
        raise_alert(session, settings, estimate(image, 0.2))
        assert alert.probability == 0.3
        raise_alert(session, settings, estimate(image, 0.9))
        assert alert.probability == 0.9
        session.add(Disposition(alert_pk=alert.id, user_pk=user.id, decision=AlertState.NOT_AN_ERROR))
        alert.state = AlertState.NOT_AN_ERROR
    with database.write() as session:
        kept = raise_alert(session, settings, estimate(image, 0.99))
        assert (kept.probability, kept.state) == (0.9, AlertState.NOT_AN_ERROR)


def test_the_window_shows_its_most_probable_alerts_and_holds_the_others(database: Database, settings: Settings) -> None:
    options = budget(settings, per_1000=200, window=10)
    for number, probability in enumerate((0.5, 0.1, 0.3, 0.05, 0.9)):
        with database.write() as session:
            image = file_image(session, f"P{number}")
            raise_alert(session, options, estimate(image, probability))
    assert {p for p, state in states(database).items() if state is AlertState.OPEN} == {0.9, 0.5}
    assert {p for p, state in states(database).items() if state is AlertState.HELD} == {0.1, 0.3, 0.05}


def test_a_second_record_gives_way_to_a_wrong_label_of_which_more_is_to_be_expected(
    database: Database, settings: Settings
) -> None:
    options = budget(settings, per_1000=4, window=10)
    options = options.model_copy(update={"verdict": options.verdict.model_copy(update={"record_weight": 0.2})})
    with database.write() as session:
        image, other = file_image(session, "P1"), file_image(session, "P2")
        key = record_key(image.patient_pk, other.patient_pk)
        raise_alert(session, options, Finding(key, AlertKind.DUPLICATE_RECORD, 0.9, image.id, image.patient_pk))
        raise_alert(session, options, estimate(other, 0.1))
    assert states(database) == {0.9: AlertState.OPEN, 0.1: AlertState.HELD}
    with database.write() as session:
        raise_alert(session, options, estimate(file_image(session, "P3"), 0.3))
    assert states(database) == {0.9: AlertState.HELD, 0.3: AlertState.OPEN, 0.1: AlertState.HELD}


def test_a_young_system_shows_in_proportion(database: Database, settings: Settings) -> None:
    """The window is not full yet, so not all of its alerts are shown; those of the first studies are lent."""
    options = budget(settings, per_1000=4, window=1000)
    for probability in (0.2, 0.5, 0.3):
        with database.write() as session:
            raise_alert(session, options, estimate(file_image(session, "P1"), probability))
    assert {p for p, state in states(database).items() if state is AlertState.OPEN} == {0.5}


def test_what_was_held_back_comes_up_when_there_is_room(database: Database, settings: Settings) -> None:
    options = budget(settings, per_1000=4, window=1000)
    for label, probability in (("P1", 0.5), ("P3", 0.4)):
        with database.write() as session:
            raise_alert(session, options, estimate(file_image(session, label), probability))
    assert states(database)[0.4] is AlertState.HELD
    for number in range(251):
        add_image(database, number)
    with database.write() as session:
        raise_alert(session, options, estimate(file_image(session, "P2"), 0.1))
    assert states(database) == {0.5: AlertState.OPEN, 0.4: AlertState.OPEN, 0.1: AlertState.HELD}


def test_a_patients_second_suspicion_comes_up_when_the_first_is_decided(database: Database, settings: Settings) -> None:
    options = budget(settings, per_1000=200, window=10)
    for probability in (0.9, 0.8):
        with database.write() as session:
            raise_alert(session, options, estimate(file_image(session, "P1"), probability))
    assert states(database) == {0.9: AlertState.OPEN, 0.8: AlertState.HELD}
    with database.write() as session:
        first = session.scalars(select(Alert).where(Alert.probability == 0.9)).one()
        first.state = AlertState.NOT_AN_ERROR
    with database.write() as session:
        raise_alert(session, options, estimate(file_image(session, "P2"), 0.1))
    assert states(database)[0.8] is AlertState.OPEN


def test_a_decided_alert_keeps_its_place_in_the_budget(database: Database, settings: Settings) -> None:
    options = budget(settings, per_1000=100, window=10)
    one, two = add_image(database, 1), add_image(database, 2)
    with database.write() as session:
        user = User(name="qa", password_hash="-", role=Role.QA)
        first = raise_alert(session, options, estimate(one, 0.2))
        session.add(user)
        session.flush()
        session.add(Disposition(alert_pk=first.id, user_pk=user.id, decision=AlertState.UNDER_INVESTIGATION))
        first.state = AlertState.UNDER_INVESTIGATION
    with database.write() as session:
        assert raise_alert(session, options, estimate(two, 0.9)).state is AlertState.HELD
    assert states(database)[0.2] is AlertState.UNDER_INVESTIGATION


def test_the_allowance_comes_back_when_the_window_has_moved_on(database: Database, settings: Settings) -> None:
    options = budget(settings, per_1000=100, window=10)
    image = add_image(database, 0)
    with database.write() as session:
        raise_alert(session, options, estimate(image, 0.9), at=image.matched_at)
    for number in range(1, 10):
        image = add_image(database, number)
    with database.write() as session:
        assert raise_alert(session, options, estimate(image, 0.5)).state is AlertState.HELD
    image = add_image(database, 10)
    with database.write() as session:
        assert raise_alert(session, options, estimate(image, 0.4)).state is AlertState.HELD
    # The place goes to the one that was held back before and is more probable.
    assert states(database)[0.5] is AlertState.OPEN


def test_several_images_of_a_study_count_as_one_study(database: Database, settings: Settings) -> None:
    options = budget(settings, per_1000=100, window=10)
    image = add_image(database, 0)
    with database.write() as session:
        raise_alert(session, options, estimate(image, 0.9), at=image.matched_at)
    for number in range(1, 31):
        image = add_image(database, number, study="one study")
    with database.write() as session:
        assert raise_alert(session, options, estimate(image, 0.5)).state is AlertState.HELD


def test_without_a_budget_nothing_is_raised_but_facts(database: Database, settings: Settings) -> None:
    options = budget(settings, per_1000=0, window=10)
    image = add_image(database, 1)
    fact = Finding(pixels_key(image.id), AlertKind.DUPLICATE_IMAGE, 1.0, image.id, image.patient_pk)
    with database.write() as session:
        assert raise_alert(session, options, estimate(image, 0.99)).state is AlertState.HELD
        assert raise_alert(session, options, fact).state is AlertState.OPEN


def test_facts_use_up_no_budget(database: Database, settings: Settings) -> None:
    options = budget(settings, per_1000=100, window=10)
    for number in range(5):
        image = add_image(database, number)
        fact = Finding(pixels_key(image.id), AlertKind.DUPLICATE_IMAGE, 1.0, image.id, image.patient_pk)
        with database.write() as session:
            raise_alert(session, options, fact)
    with database.write() as session:
        assert raise_alert(session, options, estimate(image, 0.1)).state is AlertState.OPEN


def test_each_raised_alert_gets_one_message_and_a_held_one_none(database: Database, settings: Settings) -> None:
    options = budget(settings, per_1000=100, window=10, webhook="http://127.0.0.1/hook")
    one, two = add_image(database, 1), add_image(database, 2)
    with database.write() as session:
        raised = raise_alert(session, options, estimate(one, 0.9)).id
        raise_alert(session, options, estimate(one, 0.95))
        raise_alert(session, options, estimate(two, 0.5))
    with database.read() as session:
        assert session.scalars(select(Notification.alert_pk)).all() == [raised]


def test_alerts_are_listed_most_probable_first_with_the_names_other_programs_know(
    database: Database, settings: Settings
) -> None:
    one, two = add_image(database, 1, "P1"), add_image(database, 2, "P2")
    with database.write() as session:
        raise_alert(session, settings, estimate(one, 0.3))
        pair = Finding(
            record_key(one.patient_pk, two.patient_pk),
            AlertKind.DUPLICATE_RECORD,
            0.8,
            two.id,
            two.patient_pk,
            one.id,
            one.patient_pk,
        )
        stronger = raise_alert(session, settings, pair)
    with database.read() as session:
        listed = list_alerts(session)
        assert [entry["probability"] for entry in listed] == [0.8, 0.3]
        assert (
            listed[0]
            == alert_json(session.get_one(Alert, stronger.id))
            == {
                "id": stronger.id,
                "kind": "duplicate_record",
                "probability": 0.8,
                "patient_id": "P2",
                "sop_instance_uid": "3.2",
                "other_patient_id": "P1",
                "other_sop_instance_uid": "3.1",
                "state": "open",
                "created": stronger.created_at.isoformat(),
                "severity": "medium",
            }
        )
        assert listed[1]["other_patient_id"] is None and listed[1]["other_sop_instance_uid"] is None
        assert list_alerts(session, [AlertState.HELD]) == []


@pytest.mark.parametrize(("key", "probability"), [("a", 1.1), ("a", -0.1), ("", 0.5), ("a" * 97, 0.5)])
def test_impossible_findings_are_refused(key: str, probability: float) -> None:
    with pytest.raises(FindingInvalid):
        Finding(key, AlertKind.WRONG_PATIENT, probability, 1, 1)
