"""What waits for other systems, and what was given up, by kind."""

from __future__ import annotations

from datetime import date

from archive import commitments, priors
from archive.backlog import Backlog, Errand, backlogs
from archive.database import Database
from archive.models import Commitment, PriorSearch, RetrievedDay
from archive.states import NotificationState, SearchState
from tests.archive.filing import file_patient


def test_each_kind_counts_what_waits_and_what_was_given_up(database: Database) -> None:
    with database.write() as session:
        for number, state in enumerate(SearchState):
            patient = file_patient(session, f"P{number}")
            priors.begin(session, patient.id)
            session.flush()
            session.get_one(PriorSearch, patient.id).state = state
        session.add(RetrievedDay(day=date(2024, 2, 29)))
        session.add(RetrievedDay(day=date(2024, 3, 1), state=SearchState.DONE))
        for number, answer in enumerate(NotificationState):
            made = commitments.enter(session, "PACS1", f"1.2.{number}", [("1.2", "1.3")])
            session.get_one(Commitment, made).state = answer
    with database.read() as session:
        assert backlogs(session) == {
            Errand.NOTIFICATIONS: Backlog(0, 0),
            Errand.COMMITMENTS: Backlog(1, 1),
            Errand.PRIOR_SEARCHES: Backlog(2, 1),
            Errand.RETRIEVED_DAYS: Backlog(1, 0),
        }
