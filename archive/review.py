"""How people work the alerts: the ranked list, one alert with its priors, and what was decided about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from archive import links
from archive.changes import take_turn
from archive.models import Alert, Disposition, Instance, Patient, PatientLink, Series, Study, User
from archive.states import AUDIT_KINDS, LIVE_KINDS, AlertKind, AlertState
from config.errors import LungprintError

# What a person may decide; OPEN takes a decision back.
DECISIONS = frozenset(
    {
        AlertState.CONFIRMED,
        AlertState.NOT_AN_ERROR,
        AlertState.SAME_PERSON,
        AlertState.UNDER_INVESTIGATION,
        AlertState.OPEN,
    }
)
CLOSED = (AlertState.CONFIRMED, AlertState.NOT_AN_ERROR, AlertState.SAME_PERSON, AlertState.RESOLVED)
LONGEST_NOTE = 4000


class NoSuchAlert(LungprintError):
    """There is no alert with this number."""

    def __init__(self) -> None:
        super().__init__("There is no such alert; it may belong to another system.")


class DecisionRefused(LungprintError):
    """A decision cannot be taken about this alert."""


class DecidedMeanwhile(LungprintError):
    """Somebody else has decided since the page was shown."""

    def __init__(self) -> None:
        super().__init__("Somebody else has decided about this alert meanwhile; look at it again.")


@dataclass(frozen=True)
class AlertPage:
    """Some alerts, most probable first; `page` counts from 1."""

    alerts: tuple[Alert, ...]
    page: int
    pages: int
    total: int


@dataclass(frozen=True)
class AlertDetail:
    """An alert with the images of both labels, newest first; neither holds the alert's own image.

    Attributes:
        own_priors, other_images: with those of the labels joined with either.
        own_linked, other_linked: these labels; of two labels that are joined, the own ones alone.
        links: who has said that the alert's two labels are one person, and nobody has taken back.
    """

    alert: Alert
    own_priors: tuple[Instance, ...]
    other_images: tuple[Instance, ...]
    own_linked: tuple[Patient, ...] = ()
    other_linked: tuple[Patient, ...] = ()
    links: tuple[PatientLink, ...] = ()


def alert_page(
    session: Session,
    states: Sequence[AlertState] = (),
    kinds: Sequence[AlertKind] = (),
    page: int = 1,
    size: int = 25,
) -> AlertPage:
    """Alerts sorted by probability, with their images and patients loaded.

    Args:
        states: only these; empty = all.
        kinds: only these; empty = all.
        page: from 1; a page beyond the last one is the last one.
        size: alerts on a page, from 1.
    """
    wanted: list[ColumnElement[bool]] = []
    if states:
        wanted.append(Alert.state.in_(states))
    if kinds:
        wanted.append(Alert.kind.in_(kinds))
    total = session.scalar(select(func.count()).select_from(Alert).where(*wanted)) or 0
    pages = max(1, -(-total // size))
    page = min(max(1, page), pages)
    found = session.scalars(
        select(Alert)
        .where(*wanted)
        .options(
            joinedload(Alert.instance),
            joinedload(Alert.patient),
            joinedload(Alert.other_instance),
            joinedload(Alert.other_patient),
        )
        .order_by(Alert.probability.desc(), Alert.id)
        .limit(size)
        .offset((page - 1) * size)
    )
    return AlertPage(tuple(found), page, pages, total)


def count_alerts(session: Session) -> Counter[tuple[AlertState, AlertKind]]:
    """How many alerts of each kind are in each state."""
    rows = session.execute(select(Alert.state, Alert.kind, func.count()).group_by(Alert.state, Alert.kind))
    return Counter({(row[0], row[1]): row[2] for row in rows})


def alert_detail(session: Session, alert_id: int, most_priors: int = 24) -> AlertDetail:
    """One alert and the newest `most_priors` images of each label.

    Raises:
        NoSuchAlert
    """
    alert = session.scalar(
        select(Alert)
        .where(Alert.id == alert_id)
        .options(
            joinedload(Alert.patient),
            joinedload(Alert.other_patient),
            joinedload(Alert.instance).options(*_HEADER),
            joinedload(Alert.other_instance).options(*_HEADER),
            selectinload(Alert.dispositions).joinedload(Disposition.user),
        )
    )
    if alert is None:
        raise NoSuchAlert
    own, other = {alert.patient_pk}, set() if alert.other_patient_pk is None else {alert.other_patient_pk}
    other -= own
    own_labels, other_labels = links.persons_labels(session, own) - other, links.persons_labels(session, other)
    other_labels -= own_labels
    return AlertDetail(
        alert,
        images_of(session, own_labels, most_priors, leave_out=alert.instance_pk),
        images_of(session, other_labels, most_priors, leave_out=alert.instance_pk),
        _patients(session, own_labels - own),
        _patients(session, other_labels - other),
        links.standing_links(session, own, other),
    )


def images_of(
    session: Session, patient_pks: Collection[int], most: int, leave_out: int | None = None
) -> tuple[Instance, ...]:
    """The newest images filed under some labels, with the facts of their headers loaded."""
    found = session.scalars(
        select(Instance)
        .join(Instance.series)
        .join(Series.study)
        .where(Instance.patient_pk.in_(patient_pks), Instance.id != (leave_out or 0))
        .options(*_HEADER)
        .order_by(func.coalesce(Study.acquired_at, Instance.received_at).desc(), Instance.id.desc())
        .limit(most)
    )
    return tuple(found)


def _patients(session: Session, patient_pks: Collection[int]) -> tuple[Patient, ...]:
    wanted = select(Patient).where(Patient.id.in_(patient_pks)).order_by(Patient.patient_id, Patient.issuer)
    return tuple(session.scalars(wanted))


def dispose(
    session: Session,
    alert_id: int,
    user: User,
    decision: AlertState,
    note: str = "",
    seen: AlertState | None = None,
    address: str = "",
) -> Alert:
    """Record a person's decision; older decisions stay in the history.

    SAME_PERSON joins the two records, NOT_AN_ERROR is remembered for them, and another decision takes that back; see
    `archive.links`.

    Args:
        decision: one of `DECISIONS`; OPEN takes the last decision back.
        note: at most 4000 characters.
        seen: the state that the person saw; None = whatever it is now.
        address: where the request came from, for the audit trail.

    Raises:
        NoSuchAlert
        DecidedMeanwhile: the alert is no longer in the state `seen`.
        DecisionRefused: `decision` is no decision, changes nothing, or the note is too long; or two records cannot be
            joined, as the alert names only one, or another decision says that they are two persons.
    """
    take_turn(session)
    alert = session.scalar(select(Alert).where(Alert.id == alert_id).with_for_update())
    if alert is None:
        raise NoSuchAlert
    if seen is not None and alert.state is not seen:
        raise DecidedMeanwhile
    if decision not in DECISIONS:
        raise DecisionRefused("This is no decision about an alert; choose one of those offered.")
    if decision is alert.state and not note.strip():
        raise DecisionRefused("The alert is already in this state; write a note or decide otherwise.")
    if len(note) > LONGEST_NOTE:
        raise DecisionRefused(f"The note is too long; {LONGEST_NOTE} characters are kept.")
    before, alert.state, alert.resolution = alert.state, decision, ""
    session.add(Disposition(alert_pk=alert.id, user_pk=user.id, decision=decision, note=note.strip()))
    session.flush()
    if before is not decision:
        _follow(session, alert, before, links.Author(user.name, address))
    return alert


def _follow(session: Session, alert: Alert, before: AlertState, author: links.Author) -> None:
    """Do what a new decision says about the two records, after what the one before it said is undone."""
    other = alert.other_patient_pk
    if before is AlertState.NOT_AN_ERROR:
        links.take_back_denial(session, alert, author)
    elif before is AlertState.SAME_PERSON and other is not None:
        links.unjoin(session, alert.patient_pk, other, author, alert_pk=alert.id)
    if alert.state is AlertState.NOT_AN_ERROR:
        links.deny(session, alert, author)
    elif alert.state is AlertState.SAME_PERSON:
        if other is None:
            raise DecisionRefused("This alert names one record only; “not an error” says that its label is right.")
        try:
            links.join(session, alert.patient_pk, other, author, alert_pk=alert.id)
        except links.LinkRefused as error:
            raise DecisionRefused(str(error)) from error


def neighbours(session: Session, alert: Alert) -> tuple[int | None, int | None]:
    """The open alerts just above and just below this one in its list, live or of an audit; None at its ends."""
    listed = AUDIT_KINDS if alert.kind.of_audit else LIVE_KINDS
    open_ones = select(Alert.id).where(Alert.state == AlertState.OPEN, Alert.kind.in_(listed), Alert.id != alert.id)
    level = Alert.probability == alert.probability
    above = or_(Alert.probability > alert.probability, and_(level, Alert.id < alert.id))
    below = or_(Alert.probability < alert.probability, and_(level, Alert.id > alert.id))
    return (
        session.scalar(open_ones.where(above).order_by(Alert.probability, Alert.id.desc()).limit(1)),
        session.scalar(open_ones.where(below).order_by(Alert.probability.desc(), Alert.id).limit(1)),
    )


_HEADER = (
    joinedload(Instance.patient),
    joinedload(Instance.series).joinedload(Series.study).joinedload(Study.patient),
)
