"""Which Patient IDs are one person and which are not: what people and other systems said, and what follows from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from archive.audit import AuditAction, record
from archive.changes import note_changes, take_turn
from archive.models import Alert, Instance, Patient, PatientLink, now
from archive.resolution import alerts_about, is_estimate, judge_anew, resolve
from archive.states import AlertKind, ChangeKind, LinkKind, Resolution
from config.errors import LungprintError

# Patient ID and Issuer of Patient ID.
Label = tuple[str, str]

# What a decision that an alert is no error says about the two labels that it names.
_DENIALS = {AlertKind.DUPLICATE_RECORD: LinkKind.TWO_PERSONS, AlertKind.WRONG_PATIENT: LinkKind.LABEL_RIGHT}


class LinkRefused(LungprintError):
    """Two labels cannot be joined."""


@dataclass(frozen=True)
class Author:
    """Who says something about two labels: a user, or another system by a name such as `HL7 ADT^A40`.

    Attributes:
        address: where it came from, for the audit trail.
    """

    name: str
    address: str = ""


def join(
    session: Session,
    one: int,
    another: int,
    author: Author,
    alert_pk: int | None = None,
    surviving_pk: int | None = None,
) -> None:
    """Say that two labels are one person, and with them all labels that either was joined with before.

    From the commit on their images count as one person's: they are priors of each other, and neither is an impostor for
    the other. Alerts that say so close by themselves; others that name one of the labels are judged anew. A second
    author's word stands beside the first one's: the labels are apart once both have been taken back.

    Args:
        one, another: ids of rows of `patients`.
        alert_pk: the alert whose decision this is.
        surviving_pk: the label that stays in use, where one of them was merged into the other.

    Raises:
        LinkRefused: both are the same label, or somebody has said that two of these labels are two persons.
    """
    if one == another:
        raise LinkRefused("This is one and the same record; there is nothing to join.")
    take_turn(session)
    first, second = sorted((one, another))
    if any(link.alert_pk == alert_pk for link in _standing(session, LinkKind.SAME_PERSON, {first}, {second})):
        return
    both = persons_labels(session, (first, second))
    if _standing(session, LinkKind.TWO_PERSONS, both, both):
        raise LinkRefused(
            "Two of the records that this would join were said to be two persons (the alert was no error); take that "
            "decision back first."
        )
    _add(session, LinkKind.SAME_PERSON, first, second, author, alert_pk, surviving_pk)
    _note(session, AuditAction.RECORDS_JOINED, (first, second), author)
    _regroup(session, both)
    for alert in alerts_about(session, both):
        if alert.kind.finding is not AlertKind.DUPLICATE_IMAGE and {alert.patient_pk, alert.other_patient_pk} <= both:
            resolve(session, alert, Resolution.JOINED)
    judge_anew(session, (alert.instance_pk for alert in alerts_about(session, both) if is_estimate(alert)))


def unjoin(session: Session, one: int, another: int, author: Author, alert_pk: int | None = None) -> bool:
    """Take back that two labels are one person; labels that other links hold together stay together.

    Images of either that were compared since then are judged anew, and alerts about them that had closed for it.

    Args:
        alert_pk: take back only what was decided about this alert.

    Returns:
        whether there was anything to take back.
    """
    take_turn(session)
    first, second = sorted((one, another))
    ended = _end(session, LinkKind.SAME_PERSON, first, second, author, alert_pk)
    if not ended:
        return False
    _note(session, AuditAction.RECORDS_SEPARATED, (first, second), author)
    apart = persons_labels(session, (first, second))
    _regroup(session, apart)
    since = min(link.created_at for link in ended)
    compared = select(Instance.id).where(Instance.patient_pk.in_(apart), Instance.matched_at >= since)
    judge_anew(session, session.scalars(compared).all())
    about = alerts_about(session, apart, closed_anew=True)
    judge_anew(session, (alert.instance_pk for alert in about if is_estimate(alert)))
    return True


def deny(session: Session, alert: Alert, author: Author) -> bool:
    """Remember that an alert was no error, for the pair of labels that it names.

    Afterwards nothing says again that these two records are one person, or that an image of this label shows that other
    patient; see `is_denied`.

    Returns:
        whether it names a pair; the decision about another alert counts for its own image alone.
    """
    pair = _pair(alert)
    if pair is None:
        return False
    kind, first, second = pair
    if not any(link.alert_pk == alert.id for link in _standing(session, kind, {first}, {second})):
        _add(session, kind, first, second, author, alert.id)
        _note(session, AuditAction.PAIR_DENIED, (first, second), author)
    return True


def take_back_denial(session: Session, alert: Alert, author: Author) -> bool:
    """Forget what `deny` remembered of an alert; images that it kept quiet about are judged anew.

    Returns:
        whether there was anything to take back.
    """
    pair = _pair(alert)
    ended = [] if pair is None else _end(session, *pair, author, alert.id)
    if not ended:
        return False
    labels = {pk for link in ended for pk in (link.first_pk, link.second_pk)}
    _note(session, AuditAction.DENIAL_TAKEN_BACK, sorted(labels), author)
    since = min(link.created_at for link in ended)
    silent = select(Instance.id).where(
        Instance.patient_pk.in_(labels), Instance.matched_at >= since, Instance.verdict == str(alert.kind.finding)
    )
    judge_anew(session, {*session.scalars(silent), alert.instance_pk})
    return True


def is_denied(session: Session, kind: AlertKind, patient_pk: int, other_patient_pk: int | None) -> bool:
    """Whether somebody has decided about this label and that other one that an alert of this kind is no error."""
    link = _DENIALS.get(kind.finding)
    if link is None or other_patient_pk is None:
        return False
    own, other = persons_labels(session, (patient_pk,)), persons_labels(session, (other_patient_pk,))
    if link is LinkKind.TWO_PERSONS:
        own = other = own | other
    return bool(_standing(session, link, own, other))


def standing_links(session: Session, firsts: Collection[int], seconds: Collection[int]) -> tuple[PatientLink, ...]:
    """Who has said that one of some labels and one of some others are one person, and nobody has taken back."""
    return tuple(_standing(session, LinkKind.SAME_PERSON, set(firsts), set(seconds)))


def merge(session: Session, prior: Label, surviving: Label, author: Author) -> bool:
    """Another system has merged one Patient ID into another (HL7 v2 ADT^A40): both are one person from now on.

    Images keep the Patient ID under which they came. A label without images is entered, so that images that come later
    belong to the person too. The other system's word ends what was said here against it: that the two are two persons.

    Returns:
        whether that was news.

    Raises:
        LinkRefused: both are the same label, or one of them is no Patient ID.
    """
    take_turn(session)
    old, new = patient_of(session, prior), patient_of(session, surviving)
    if old.id == new.id:
        raise LinkRefused("A Patient ID cannot be merged into itself.")
    if any(link.surviving_pk == new.id for link in _standing(session, LinkKind.SAME_PERSON, {old.id}, {new.id})):
        return False
    both = persons_labels(session, (old.id, new.id))
    for link in _standing(session, LinkKind.TWO_PERSONS, both, both):
        link.ended_at, link.ended_by = now(), author.name[:64]
        _note(session, AuditAction.DENIAL_TAKEN_BACK, (link.first_pk, link.second_pk), author)
    join(session, old.id, new.id, author, surviving_pk=new.id)
    return True


def patient_of(session: Session, label: Label) -> Patient:
    """The row of a label, entered if it is new.

    Raises:
        LinkRefused: the Patient ID is empty.
    """
    patient_id, issuer = label
    if not patient_id.strip():
        raise LinkRefused("A Patient ID is needed, and this one is empty.")
    found = session.scalar(select(Patient).where(Patient.patient_id == patient_id, Patient.issuer == issuer))
    if found is None:
        found = Patient(patient_id=patient_id, issuer=issuer)
        session.add(found)
        session.flush()
    return found


def links_of(session: Session, patient_pks: Collection[int]) -> tuple[PatientLink, ...]:
    """All that was ever said about these labels, oldest first."""
    about = or_(PatientLink.first_pk.in_(patient_pks), PatientLink.second_pk.in_(patient_pks))
    return tuple(session.scalars(select(PatientLink).where(about).order_by(PatientLink.id)))


def _pair(alert: Alert) -> tuple[LinkKind, int, int] | None:
    kind = _DENIALS.get(alert.kind.finding)
    if kind is None or alert.other_patient_pk is None or alert.other_patient_pk == alert.patient_pk:
        return None
    return kind, *_ordered(kind, alert.patient_pk, alert.other_patient_pk)


def _ordered(kind: LinkKind, one: int, another: int) -> tuple[int, int]:
    return (one, another) if kind is LinkKind.LABEL_RIGHT else (min(one, another), max(one, another))


def persons_labels(session: Session, patient_pks: Collection[int]) -> set[int]:
    """These labels and all that are joined with one of them."""
    roots = select(Patient.person_pk).where(Patient.id.in_(patient_pks), Patient.person_pk.is_not(None))
    return set(patient_pks) | set(session.scalars(select(Patient.id).where(Patient.person_pk.in_(roots))))


def _standing(session: Session, kind: LinkKind, firsts: set[int], seconds: set[int]) -> list[PatientLink]:
    """What was said of these labels and not taken back; the order within a pair matters for LABEL_RIGHT alone."""
    between = and_(PatientLink.first_pk.in_(firsts), PatientLink.second_pk.in_(seconds))
    if kind is not LinkKind.LABEL_RIGHT:
        between = or_(between, and_(PatientLink.first_pk.in_(seconds), PatientLink.second_pk.in_(firsts)))
    wanted = select(PatientLink).where(PatientLink.kind == kind, PatientLink.ended_at.is_(None), between)
    return list(session.scalars(wanted))


def _add(
    session: Session,
    kind: LinkKind,
    first: int,
    second: int,
    author: Author,
    alert_pk: int | None,
    surviving_pk: int | None = None,
) -> None:
    session.add(
        PatientLink(
            kind=kind,
            first_pk=first,
            second_pk=second,
            surviving_pk=surviving_pk,
            alert_pk=alert_pk,
            created_by=author.name[:64],
        )
    )
    session.flush()


def _end(
    session: Session, kind: LinkKind, first: int, second: int, author: Author, alert_pk: int | None
) -> list[PatientLink]:
    standing = _standing(session, kind, {first}, {second})
    ended = [link for link in standing if alert_pk is None or link.alert_pk == alert_pk]
    for link in ended:
        link.ended_at, link.ended_by = now(), author.name[:64]
    session.flush()
    return ended


def _regroup(session: Session, labels: set[int]) -> None:
    """Give each connected set of labels among these one person, and tell the index whose images they are now.

    Args:
        labels: with every label that is linked to one of them.
    """
    links = _standing(session, LinkKind.SAME_PERSON, labels, labels)
    rows = session.scalars(select(Patient).where(Patient.id.in_(labels)).order_by(Patient.id).with_for_update()).all()
    root = {row.id: row.id for row in rows}
    for link in links:
        one, another = root[link.first_pk], root[link.second_pk]
        root |= {pk: min(one, another) for pk, old in root.items() if old in (one, another)}
    changed = []
    for row in rows:
        alone = sum(other == root[row.id] for other in root.values()) == 1
        person = None if alone else root[row.id]
        if row.person_pk != person:
            row.person_pk = person
            changed.append(row.id)
    session.flush()
    images = session.scalars(select(Instance.id).where(Instance.patient_pk.in_(changed)))
    note_changes(session, images, ChangeKind.PERSON)


def _note(session: Session, action: AuditAction, labels: Iterable[int], author: Author) -> None:
    for label in labels:
        record(session, author.name, action, "patient", label, label, author.address)
