"""Joined records on the pages: shown where either is, separated again by one button, found by either ID."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select

from archive.database import Database
from archive.links import Author, join
from archive.models import Alert, Instance, Patient
from archive.states import AlertState
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case


def decide(qa: Browser, case: Case, seen: str, decision: str) -> int:
    return qa.post(f"/alerts/{case.alert}/decision", decision=decision, seen=seen, note="asked the desk")


def persons(database: Database) -> set[int | None]:
    with database.read() as session:
        return set(session.scalars(select(Patient.person_pk).where(Patient.patient_id.in_(["MRN-1", "MRN-2"]))))


def test_same_person_joins_and_the_page_says_so_and_takes_it_back(
    qa: Browser, case: Case, database: Database, audited: Callable[[], list[tuple[str, str, int | None]]]
) -> None:
    assert decide(qa, case, "open", "same_person") == 303
    assert len(persons(database)) == 1 and persons(database) != {None}
    page = qa.client.get(f"/alerts/{case.alert}").text
    assert "joined as one person" in page and "Take it back and separate the records" in page
    assert decide(qa, case, "same_person", "open") == 303
    assert persons(database) == {None}
    assert "joined as one person" not in qa.client.get(f"/alerts/{case.alert}").text
    actions = [(who, action) for who, action, _ in audited()]
    assert actions.count(("qa", "records joined")) == actions.count(("qa", "records separated")) == 2


def test_images_of_a_joined_record_are_shown_and_found_under_either_id(
    qa: Browser, case: Case, database: Database
) -> None:
    with database.write() as session:
        own, third = (session.get_one(Instance, number).patient_pk for number in (case.probe, case.stranger))
        join(session, own, third, Author("HL7 ADT^A40"))
    page = qa.client.get(f"/alerts/{case.alert}").text
    assert f"/images/{case.stranger}/thumbnail" in page and "+ MRN-3" in page
    assert f"/images/{case.stranger}/thumbnail" in qa.client.get(f"/images/{case.probe}").text
    for wanted in ("MRN-1", "MRN-3"):
        found = qa.client.post("/search", data={"csrf_token": qa.token(), "wanted": wanted}).text
        assert f"/images/{case.probe}" in found and f"/images/{case.stranger}" in found
        assert "joined: the same person" in found


def test_an_alert_that_closed_by_itself_says_why_and_can_be_opened_again(
    qa: Browser, case: Case, database: Database
) -> None:
    with database.write() as session:
        probe, rival = (session.get_one(Instance, number).patient_pk for number in (case.probe, case.rival))
        join(session, probe, rival, Author("HL7 ADT^A40"))
    page = qa.client.get(f"/alerts/{case.alert}").text
    assert "the two records were joined as one person" in page and "HL7 ADT^A40" in page
    assert f"/alerts/{case.alert}" in qa.client.get("/alerts?tab=closed").text
    assert decide(qa, case, "resolved", "open") == 303
    with database.read() as session:
        assert session.get_one(Alert, case.alert).state is AlertState.OPEN


def test_an_alert_about_one_record_refuses_to_join(qa: Browser, case: Case) -> None:
    assert qa.post(f"/alerts/{case.weaker_alert}/decision", decision="same_person", seen="open", note="") == 303
    assert "names one record only" in qa.client.get(f"/alerts/{case.weaker_alert}").text
