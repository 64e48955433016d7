"""Earlier images from the PACS: for which patients and days it is still to be asked, and which series came from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, bindparam, exists, func, select
from sqlalchemy.orm import Session

from archive.models import Instance, Patient, PriorSearch, RetrievedDay, RetrievedSeries, Series, Study, now
from archive.progress import LONGEST_REASON, pause_after
from archive.states import ImageState, SearchState
from config.settings import Workers

# How long one worker has a patient or a day for itself.
LEASE_SECONDS = 900.0
# Between two looks whether the images that were fetched have been compared.
LOOK_AGAIN_SECONDS = 5.0
# Values in one IN (...) of a query; SQLite allows 32,766.
_MOST_VALUES = 500

_Search = TypeVar("_Search", PriorSearch, RetrievedDay)

# Of an image's own series; for queries that join Series.
IS_RETRIEVED: ColumnElement[bool] = exists().where(RetrievedSeries.series_instance_uid == Series.series_instance_uid)
# Built once, as it is asked for each image.
_RETRIEVED = (
    select(Instance.id).join(Series).where(Instance.id.in_(bindparam("instances", expanding=True)), IS_RETRIEVED)
)


@dataclass(frozen=True)
class Wanted:
    """A patient whose earlier images are to be fetched.

    Attributes:
        known_studies: Study Instance UIDs that the archive has under this label.
    """

    patient_pk: int
    patient_id: str
    issuer: str
    state: SearchState
    known_studies: frozenset[str]


@dataclass(frozen=True)
class Tries:
    """How long and in which rhythm something that fails is tried again."""

    workers: Workers
    days: int


def begin(session: Session, patient_pk: int) -> None:
    """A patient was first seen: have the PACS asked for earlier images."""
    session.add(PriorSearch(patient_pk=patient_pk))


def claim_patient(session: Session) -> Wanted | None:
    """The patient whose search is due, for the caller alone; the one seen last comes first."""
    query = select(PriorSearch).where(
        PriorSearch.state.in_((SearchState.PENDING, SearchState.RETRIEVED)), PriorSearch.due_at <= now()
    )
    found = _claim(session, query.order_by(PriorSearch.patient_pk.desc()))
    if found is None:
        return None
    patient = session.get_one(Patient, found.patient_pk)
    known = session.scalars(select(Study.study_instance_uid).where(Study.patient_pk == patient.id))
    return Wanted(patient.id, patient.patient_id, patient.issuer, found.state, frozenset(known))


def claim_day(session: Session, first: date = date.min, last: date = date.max) -> date | None:
    """The day that is due, of those from `first` to `last`, for the caller alone; the newest comes first."""
    query = (
        select(RetrievedDay)
        .where(RetrievedDay.state == SearchState.PENDING, RetrievedDay.due_at <= now())
        .where(RetrievedDay.day.between(first, last))
        .order_by(RetrievedDay.day.desc())
    )
    found = _claim(session, query)
    return None if found is None else found.day


def _claim(session: Session, query: Select[_Search]) -> _Search | None:
    """The first row that nobody else is claiming at this moment, for the caller alone while its lease lasts."""
    found = session.scalar(query.limit(1).with_for_update(skip_locked=True))
    if found is not None:
        found.due_at = now() + timedelta(seconds=LEASE_SECONDS)
    return found


def is_anything_due(session: Session, days_too: bool) -> bool:
    """Whether a patient, or a day, waits for the PACS to be asked."""
    states = (SearchState.PENDING, SearchState.RETRIEVED)
    patient = select(PriorSearch.patient_pk).where(PriorSearch.state.in_(states), PriorSearch.due_at <= now())
    if session.scalar(patient.limit(1)) is not None:
        return True
    day = select(RetrievedDay.day).where(RetrievedDay.state == SearchState.PENDING, RetrievedDay.due_at <= now())
    return days_too and session.scalar(day.limit(1)) is not None


def ask_for_days(session: Session, days: Iterable[date]) -> int:
    """Have days fetched; one that is done or under way already is not begun again, one that was given up is.

    Returns:
        how many of them wait now that did not before.
    """
    added = 0
    for day in days:
        found = session.get(RetrievedDay, day)
        if found is None:
            session.add(RetrievedDay(day=day))
        elif found.state is SearchState.DEAD:
            found.state, found.attempts, found.reason = SearchState.PENDING, 0, ""
            found.due_at = found.requested_at = now()
        else:
            continue
        added += 1
    return added


def unknown_series(session: Session, series_uids: Sequence[str]) -> list[str]:
    """Of some series, in their order, those that were not fetched completely and of which no image has arrived.

    A series of which something came by itself is on its way, or here; one that was asked for before is asked for again.
    """
    known: set[str] = set()
    for start in range(0, len(series_uids), _MOST_VALUES):
        part = series_uids[start : start + _MOST_VALUES]
        complete = select(RetrievedSeries.series_instance_uid).where(
            RetrievedSeries.series_instance_uid.in_(part), RetrievedSeries.complete
        )
        arrived = select(Series.series_instance_uid).where(Series.series_instance_uid.in_(part), ~IS_RETRIEVED)
        known |= {*session.scalars(complete), *session.scalars(arrived)}
    return [uid for uid in series_uids if uid not in known]


def note_asked(session: Session, series_uid: str) -> None:
    """Say that a series is about to be fetched: whatever arrives of it from now on is history."""
    if session.get(RetrievedSeries, series_uid) is None:
        session.add(RetrievedSeries(series_instance_uid=series_uid))


def note_complete(session: Session, series_uid: str) -> None:
    """Say that all images of a series have arrived."""
    session.get_one(RetrievedSeries, series_uid).complete = True


def record_fetched(session: Session, patient_pk: int, series: int, failure: str, options: Tries) -> SearchState:
    """An attempt at a patient's earlier images has ended: so many series came.

    Args:
        failure: why not everything came, one sentence without patient data; "" when it did.

    Returns:
        the state afterwards: RETRIEVED if something has to be compared, now or from an attempt that was killed, else
        as `_end`.
    """
    found = session.get_one(PriorSearch, patient_pk, with_for_update=True)
    if not series and (failure or not _has_retrieved(session, patient_pk)):
        return _end(found, failure, options)
    found.state, found.reason = SearchState.RETRIEVED, failure[:LONGEST_REASON]
    found.due_at = now() + timedelta(seconds=LOOK_AGAIN_SECONDS)
    return found.state


def record_compared(session: Session, patient_pk: int, is_settled: bool, options: Tries) -> SearchState:
    """A look at what was fetched: once all is compared, the search is done, or tried again if something is missing.

    Returns:
        the state afterwards.
    """
    found = session.get_one(PriorSearch, patient_pk, with_for_update=True)
    if is_settled:
        return _end(found, found.reason, options)
    found.due_at = now() + timedelta(seconds=LOOK_AGAIN_SECONDS)
    return found.state


def record_day(session: Session, day: date, series: int, failure: str, options: Tries) -> SearchState:
    """An attempt at a day has ended; arguments and result as for `record_fetched`."""
    found = session.get_one(RetrievedDay, day, with_for_update=True)
    found.series += series
    return _end(found, failure, options)


def _end(found: PriorSearch | RetrievedDay, failure: str, options: Tries) -> SearchState:
    """DONE without a failure; else PENDING for another try after a pause that doubles, or, after the days, DEAD."""
    found.reason = failure[:LONGEST_REASON]
    if not failure:
        found.state, found.attempts = SearchState.DONE, 0
        return found.state
    found.attempts += 1
    found.due_at = now() + timedelta(seconds=pause_after(found.attempts, options.workers))
    is_over = found.due_at > found.requested_at + timedelta(days=options.days)
    found.state = SearchState.DEAD if is_over else SearchState.PENDING
    return found.state


def _has_retrieved(session: Session, patient_pk: int) -> bool:
    query = select(Instance.id).join(Series).where(Instance.patient_pk == patient_pk, IS_RETRIEVED)
    return session.scalar(query.limit(1)) is not None


def are_settled(session: Session, patient_pk: int) -> bool:
    """Whether every image that was fetched for a patient has been compared or set aside."""
    moving = Instance.state.in_((ImageState.RECEIVED, ImageState.ENCODED))
    query = select(Instance.id).join(Series).where(Instance.patient_pk == patient_pk, moving, IS_RETRIEVED)
    return session.scalar(query.limit(1)) is None


def judged_too_soon(session: Session, patient_pk: int) -> list[int]:
    """Ids of a patient's images that came by themselves and were compared, perhaps before the fetched ones were."""
    query = (
        select(Instance.id)
        .join(Series)
        .where(Instance.patient_pk == patient_pk, Instance.state == ImageState.MATCHED, ~IS_RETRIEVED)
    )
    return list(session.scalars(query.order_by(Instance.id)))


def retrieved(session: Session, instance_ids: Collection[int]) -> set[int]:
    """Of some images, those that this node asked the PACS for."""
    ids = list(instance_ids)
    found: set[int] = set()
    for start in range(0, len(ids), _MOST_VALUES):
        found |= set(session.scalars(_RETRIEVED, {"instances": ids[start : start + _MOST_VALUES]}))
    return found


def is_within(hours: str, moment: datetime) -> bool:
    """Whether a moment lies in hours such as "20:00-06:00", which may pass midnight; the same time twice is all day.

    Example:
        >>> [is_within("20:00-06:00", datetime(2024, 1, 1, hour)) for hour in (19, 20, 23, 5, 6)]
        [False, True, True, True, False]
        >>> is_within("00:00-00:00", datetime(2024, 1, 1, 12))
        True
    """
    begin, end = hours.split("-")
    now = f"{moment:%H:%M}"
    if begin == end:
        return True
    return begin <= now < end if begin < end else now >= begin or now < end


@dataclass(frozen=True)
class Progress:
    """How far the days are: numbers of days by state, and of the series that came with them."""

    pending: int
    done: int
    dead: int
    series: int

    @property
    def total(self) -> int:
        """All days."""
        return self.pending + self.done + self.dead


def reason_of_day(session: Session, day: date) -> str:
    """Why a day's images did not all come at the last attempt; "" when they did, or none was made."""
    return session.get_one(RetrievedDay, day).reason


def progress_of_days(session: Session, first: date, last: date) -> Progress:
    """How far the days from `first` to `last` are."""
    query = select(RetrievedDay.state, func.count(), func.sum(RetrievedDay.series)).where(
        RetrievedDay.day >= first, RetrievedDay.day <= last
    )
    rows = session.execute(query.group_by(RetrievedDay.state)).all()
    count = {state: int(number) for state, number, _ in rows}
    series = sum(int(number) for _, _, number in rows)
    return Progress(
        count.get(SearchState.PENDING, 0), count.get(SearchState.DONE, 0), count.get(SearchState.DEAD, 0), series
    )
