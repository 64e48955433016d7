"""What this node still has to do with other systems: how much of it waits, and how much was given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.models import Commitment, Notification, PriorSearch, RetrievedDay
from archive.states import NotificationState, SearchState


class Errand(StrEnum):
    """What is to be done, each a table of its own."""

    NOTIFICATIONS = "notifications"
    COMMITMENTS = "commitments"
    PRIOR_SEARCHES = "prior_searches"
    RETRIEVED_DAYS = "retrieved_days"

    @property
    def words(self) -> str:
        """For people; follows a number."""
        return _WORDS[self]


_WORDS = {
    Errand.NOTIFICATIONS: "messages to other systems",
    Errand.COMMITMENTS: "storage commitment reports to peers",
    Errand.PRIOR_SEARCHES: "patients whose earlier images the PACS is asked for",
    Errand.RETRIEVED_DAYS: "days whose images are fetched from the PACS",
}
_Table = type[Notification] | type[Commitment] | type[PriorSearch] | type[RetrievedDay]
_TABLES: dict[Errand, _Table] = {
    Errand.NOTIFICATIONS: Notification,
    Errand.COMMITMENTS: Commitment,
    Errand.PRIOR_SEARCHES: PriorSearch,
    Errand.RETRIEVED_DAYS: RetrievedDay,
}
# A search that is retrieved waits until what came is compared.
_PENDING = frozenset({NotificationState.PENDING, SearchState.PENDING, SearchState.RETRIEVED})
_DEAD = frozenset({NotificationState.DEAD, SearchState.DEAD})


@dataclass(frozen=True)
class Backlog:
    """So many are still to be done, and so many were given up after the last attempt."""

    pending: int
    dead: int


def backlogs(session: Session) -> Mapping[Errand, Backlog]:
    """The backlog of each kind."""
    return {errand: _backlog(session, table) for errand, table in _TABLES.items()}


def _backlog(session: Session, table: _Table) -> Backlog:
    rows = session.execute(select(table.state, func.count()).group_by(table.state)).all()
    return Backlog(
        pending=sum(count for state, count in rows if state in _PENDING),
        dead=sum(count for state, count in rows if state in _DEAD),
    )
