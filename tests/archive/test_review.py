"""The alert list, one alert with its priors, and decisions."""

from __future__ import annotations

import pytest

from archive.database import Database
from archive.review import (
    DecidedMeanwhile,
    DecisionRefused,
    NoSuchAlert,
    alert_detail,
    alert_page,
    count_alerts,
    dispose,
    neighbours,
)
from archive.states import AlertKind, AlertState, Role
from tests.archive.filing import enlist, file_alert, file_image, file_patient


def test_list_is_sorted_by_probability_and_filtered(database: Database) -> None:
    with database.write() as session:
        image = file_image(session, file_patient(session, "P-1"))
        low = file_alert(session, image, probability=0.2)
        high = file_alert(session, image, kind=AlertKind.PRIOR_MISMATCH, probability=0.8)
        held = file_alert(session, image, kind=AlertKind.DUPLICATE_IMAGE, probability=0.9, state=AlertState.HELD)
        assert [alert.id for alert in alert_page(session).alerts] == [held.id, high.id, low.id]
        assert [a.id for a in alert_page(session, states=(AlertState.OPEN,)).alerts] == [high.id, low.id]
        assert [a.id for a in alert_page(session, kinds=(AlertKind.WRONG_PATIENT,)).alerts] == [low.id]
        counts = count_alerts(session)
        assert counts == {
            (AlertState.OPEN, AlertKind.WRONG_PATIENT): 1,
            (AlertState.OPEN, AlertKind.PRIOR_MISMATCH): 1,
            (AlertState.HELD, AlertKind.DUPLICATE_IMAGE): 1,
        }


def test_list_is_paged(database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "P-1")
        ids = [file_alert(session, file_image(session, patient), probability=0.5).id for _ in range(5)]
        pages = [alert_page(session, page=page, size=2) for page in (1, 2, 3, 9)]
        assert [[alert.id for alert in page.alerts] for page in pages] == [ids[:2], ids[2:4], ids[4:], ids[4:]]
        assert {(page.pages, page.total) for page in pages} == {(3, 5)}


def test_detail_shows_both_labels_images_newest_first_without_the_probe(database: Database) -> None:
    with database.write() as session:
        own, other = file_patient(session, "P-1"), file_patient(session, "P-2")
        old, new, probe = (file_image(session, own, year=year) for year in (2019, 2023, 2024))
        rival, earlier = file_image(session, other, year=2022), file_image(session, other, year=2011)
        alert = file_alert(session, probe, rival)
    with database.read() as session:
        detail = alert_detail(session, alert.id)
    assert [image.id for image in detail.own_priors] == [new.id, old.id]
    assert [image.id for image in detail.other_images] == [rival.id, earlier.id]
    assert detail.own_priors[0].series.study.description == "Chest PA"
    assert detail.alert.other_patient is not None


def test_unknown_alert_is_refused(database: Database) -> None:
    with database.write() as session:
        with pytest.raises(NoSuchAlert):
            alert_detail(session, 1)
        with pytest.raises(NoSuchAlert):
            dispose(session, 1, enlist(session, Role.QA), AlertState.CONFIRMED)


def test_decisions_are_kept_in_order_and_can_be_taken_back(database: Database) -> None:
    with database.write() as session:
        user = enlist(session, Role.QA)
        alert = file_alert(session, file_image(session, file_patient(session, "P-1")))
        dispose(session, alert.id, user, AlertState.UNDER_INVESTIGATION, "asked radiology")
        dispose(session, alert.id, user, AlertState.CONFIRMED, "  swapped on 3 March ", AlertState.UNDER_INVESTIGATION)
        dispose(session, alert.id, user, AlertState.OPEN)
    with database.read() as session:
        alert = alert_detail(session, alert.id).alert
        assert alert.state is AlertState.OPEN
        assert [(one.decision, one.note) for one in alert.dispositions] == [
            (AlertState.UNDER_INVESTIGATION, "asked radiology"),
            (AlertState.CONFIRMED, "swapped on 3 March"),
            (AlertState.OPEN, ""),
        ]


def test_second_reviewer_does_not_overwrite_the_first_unseen(database: Database) -> None:
    with database.write() as session:
        user = enlist(session, Role.QA)
        alert = file_alert(session, file_image(session, file_patient(session, "P-1")))
        dispose(session, alert.id, user, AlertState.CONFIRMED, seen=AlertState.OPEN)
        with pytest.raises(DecidedMeanwhile):
            dispose(session, alert.id, user, AlertState.NOT_AN_ERROR, seen=AlertState.OPEN)
        assert alert.state is AlertState.CONFIRMED


@pytest.mark.parametrize(
    ("decision", "note"), [(AlertState.HELD, "x"), (AlertState.OPEN, ""), (AlertState.CONFIRMED, "x" * 4001)]
)
def test_what_is_no_decision_is_refused(database: Database, decision: AlertState, note: str) -> None:
    with database.write() as session:
        alert = file_alert(session, file_image(session, file_patient(session, "P-1")))
        with pytest.raises(DecisionRefused):
            dispose(session, alert.id, enlist(session, Role.QA), decision, note)
        assert alert.state is AlertState.OPEN


def test_neighbours_follow_the_list_and_skip_closed_alerts(database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "P-1")
        first, second, third, fourth = (
            file_alert(session, file_image(session, patient), probability=value) for value in (0.9, 0.7, 0.7, 0.1)
        )
        assert neighbours(session, first) == (None, second.id)
        assert neighbours(session, second) == (first.id, third.id)
        dispose(session, third.id, enlist(session, Role.QA), AlertState.CONFIRMED)
        assert neighbours(session, third) == (second.id, fourth.id)
        assert neighbours(session, fourth) == (second.id, None)
