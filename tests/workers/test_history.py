"""Images that were fetched as priors: they judge, and are judged by history alone; their alerts are held."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from archive import priors
from archive.alerts import HISTORY
from archive.database import Database
from archive.models import Alert, Instance, Series
from archive.resolution import judge_anew
from archive.states import AlertKind, AlertState
from config.paths import DataDir
from config.settings import Settings
from tests.people import NETWORK, Crowd
from workers.index_owner import IndexOwner, open_owner
from workers.match import match_image


@pytest.fixture
def owner(database: Database, settings: Settings, folder: DataDir) -> Iterator[IndexOwner]:
    """The owner of an empty index."""
    opened = open_owner(database, settings, folder, NETWORK)
    yield opened
    opened.close()


class Film:
    """Files images of a crowd, each on another day, and matches them."""

    def __init__(self, owner: IndexOwner, database: Database, settings: Settings) -> None:
        self._owner = owner
        self._database = database
        self._settings = settings
        self._day = 0

    def take(self, person: int, label: str, is_history: bool) -> int:
        """Returns the image's id."""
        self._day += 1
        with self._database.write() as session:
            image = Crowd(day=self._day).take(session, person, label)
            if is_history:
                series = session.get_one(Series, image.series_pk)
                priors.note_asked(session, series.series_instance_uid)
        match_image(self._owner, self._database, self._settings, image.id)
        return image.id

    def judge_anew(self, label_of: int) -> None:
        """What the retrieval does when all is compared."""
        with self._database.write() as session:
            patient = session.get_one(Instance, label_of).patient_pk
            assert priors.are_settled(session, patient)
            ids = priors.judged_too_soon(session, patient)
            judge_anew(session, ids)
        for number in ids:
            match_image(self._owner, self._database, self._settings, number)

    def alerts(self) -> list[Alert]:
        with self._database.read() as session:
            return list(session.scalars(select(Alert).order_by(Alert.id)))

    def verdict(self, number: int) -> str:
        with self._database.read() as session:
            return session.get_one(Instance, number).verdict


@pytest.fixture
def film(owner: IndexOwner, database: Database, settings: Settings) -> Film:
    made = Film(owner, database, settings)
    for person in range(2, 30):
        made.take(person, f"P{person}", is_history=False)
    return made


def test_a_wrong_name_is_found_once_the_priors_have_come(film: Film) -> None:
    live = film.take(7, "P1", is_history=False)
    assert film.verdict(live) == "duplicate_record"
    earlier = [film.take(1, "P1", is_history=True) for _ in range(2)]
    assert [film.verdict(number) for number in earlier] == ["first_seen", "consistent"]
    film.judge_anew(live)
    assert film.verdict(live) == "wrong_patient"
    said = {alert.kind: alert for alert in film.alerts()}
    assert said[AlertKind.WRONG_PATIENT].state is AlertState.OPEN
    assert said[AlertKind.WRONG_PATIENT].instance_pk == live
    assert said[AlertKind.DUPLICATE_RECORD].state is AlertState.RESOLVED


def test_a_right_name_stays_right_whenever_the_priors_come(film: Film) -> None:
    live = film.take(1, "P1", is_history=False)
    assert film.verdict(live) == "first_seen"
    film.take(1, "P1", is_history=True)
    film.judge_anew(live)
    assert film.verdict(live) == "consistent" and film.alerts() == []


def test_what_is_wrong_in_history_is_held_and_told_to_nobody(film: Film, settings: Settings) -> None:
    for _ in range(3):
        film.take(1, "P1", is_history=True)
    wrong = film.take(7, "P1", is_history=True)
    (alert,) = film.alerts()
    assert (alert.kind, alert.instance_pk) == (AlertKind.WRONG_PATIENT, wrong)
    assert alert.state is AlertState.HELD and alert.evidence[HISTORY] is True


def test_a_finding_of_history_is_raised_when_an_image_of_today_makes_it_too(film: Film) -> None:
    film.take(7, "P1", is_history=True)
    (alert,) = film.alerts()
    assert (alert.kind, alert.state) == (AlertKind.DUPLICATE_RECORD, AlertState.HELD)
    live = film.take(7, "P1", is_history=False)
    (alert,) = film.alerts()
    assert (alert.state, alert.instance_pk) == (AlertState.OPEN, live) and HISTORY not in alert.evidence
    film.take(7, "P1", is_history=True)
    (alert,) = film.alerts()
    assert (alert.state, alert.instance_pk) == (AlertState.OPEN, live)
