"""Removing a patient or a study for good: all rows in one transaction, with a list of what is left to remove."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select, text
from sqlalchemy.orm import Session

from archive.audit import AuditAction, record
from archive.changes import note_changes, take_turn
from archive.database import Database
from archive.links import Author, links_of, unjoin
from archive.models import (
    Alert,
    Code,
    Commitment,
    Disposition,
    Instance,
    Leftover,
    Notification,
    Patient,
    PatientLink,
    PriorSearch,
    Purge,
    Quarantined,
    RetrievedSeries,
    Series,
    Study,
    Variant,
)
from archive.queries import forget_identifiers
from archive.resolution import UNDECIDED, judge_anew
from archive.states import (
    AlertKind,
    ChangeKind,
    LeftoverKind,
    LinkKind,
    NotificationState,
    PurgeKind,
    saying,
)

# Issuer under which nothing but the keyed hash of a purged patient stays, so that the audit trail still tells patients
# apart; the purge's number follows.
GONE = "purged:"

# Rows named in one statement.
_BATCH = 500


@dataclass(frozen=True)
class Subject:
    """What is to be removed.

    Attributes:
        name: Patient ID, or Study Instance UID.
        issuer: of the Patient ID; None = every patient with this ID, whoever issued it.
    """

    kind: PurgeKind
    name: str
    issuer: str | None = None

    def keyed_hash(self, key: bytes) -> str:
        """HMAC-SHA256 under a key of the site: tells whether this was purged, and to nobody without the key."""
        text = "\0".join(("purge", self.kind, self.name, "*" if self.issuer is None else self.issuer))
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Extent:
    """How much belongs to a subject: what the database names, and files in the quarantine."""

    patients: int = 0
    studies: int = 0
    images: int = 0
    versions: int = 0
    codes: int = 0
    alerts: int = 0
    decisions: int = 0
    quarantined: int = 0

    def __bool__(self) -> bool:
        return any(vars(self).values())


@dataclass(frozen=True)
class _Rows:
    """Ids of what belongs to a subject."""

    patients: frozenset[int]
    studies: frozenset[int]
    images: frozenset[int]
    variants: frozenset[int]
    alerts: frozenset[int]


def extent(session: Session, subject: Subject, quarantined: Collection[str] = ()) -> Extent:
    """Count what `purge` would remove; nothing is changed.

    Args:
        quarantined: names of files in the quarantine that belong to the subject.
    """
    rows = _rows(session, subject)
    return _extent(session, rows, len(quarantined))


def purge(
    database: Database, subject: Subject, author: Author, key: bytes, quarantined: Collection[str] = ()
) -> int | None:
    """Remove all rows of a subject and note, in the same transaction, what remains to be removed elsewhere.

    From then on nothing of it is shown, compared or found. `archive.leftovers` removes the files; the owner of the
    index forgets the vectors when it catches up, its snapshot included. Alerts about other patients' images that looked
    like the subject's stay, without naming it; those that nobody has decided are judged anew.

    Args:
        key: of the site, for the keyed hash that the record of the purge keeps instead of names.
        quarantined: names of files in the quarantine that belong to the subject.

    Returns:
        the number of the purge; None if there is nothing to remove.
    """
    with database.write() as session:
        if session.get_bind().dialect.name == "sqlite":
            # What is deleted is overwritten with zeros instead of staying in free pages.
            session.execute(text("PRAGMA secure_delete = ON"))
        take_turn(session)
        rows = _rows(session, subject)
        found = _extent(session, rows, len(quarantined))
        if not found:
            return None
        made = Purge(
            kind=subject.kind,
            subject=subject.keyed_hash(key),
            requested_by=author.name[:64],
            counts=dict(vars(found)),
            last_instance=session.scalar(select(func.max(Instance.id))) or 0,
            last_alert=session.scalar(select(func.max(Alert.id))) or 0,
        )
        session.add(made)
        session.flush()
        _note_leftovers(session, made.id, rows, quarantined)
        note_changes(session, rows.images, ChangeKind.PURGED)
        uids = set(_column(session, Instance.sop_instance_uid, Instance.id, rows.images))
        for batch in _batches(rows.patients):
            forget_identifiers(session, patients=batch)
        for batch in _batches(_column(session, Study.study_instance_uid, Study.id, rows.studies)):
            forget_identifiers(session, study_uids=batch)
        _remove_alerts(session, rows)
        _remove_images(session, rows)
        _remove_patients(session, rows, made, author, key)
        _forget_uids(session, uids)
        _delete(session, Quarantined, Quarantined.file_name, quarantined)
        session.execute(delete(Leftover).where(Leftover.purge_pk == made.id, Leftover.kind == LeftoverKind.ALERT))
        record(session, author.name, AuditAction.PURGED, "purge", made.id, None, author.address)
        return made.id


def _rows(session: Session, subject: Subject) -> _Rows:
    if subject.kind is PurgeKind.PATIENT:
        wanted = select(Patient.id).where(Patient.patient_id == subject.name, ~Patient.issuer.startswith(GONE))
        if subject.issuer is not None:
            wanted = wanted.where(Patient.issuer == subject.issuer)
        patients = frozenset(session.scalars(wanted))
        studies = frozenset(session.scalars(select(Study.id).where(Study.patient_pk.in_(patients))))
        images = frozenset(session.scalars(select(Instance.id).where(Instance.patient_pk.in_(patients))))
        # Versions of other patients' images carry this one's name if they were filed under it once.
        mine: ColumnElement[bool] = or_(Variant.patient_pk.in_(patients), Variant.instance_pk.in_(images))
    else:
        studies = frozenset(session.scalars(select(Study.id).where(Study.study_instance_uid == subject.name)))
        inside = select(Instance.id).join(Instance.series).where(Series.study_pk.in_(studies))
        images = frozenset(session.scalars(inside))
        mine = Variant.instance_pk.in_(images)
        patients = _without_anything_else(session, studies, images)
    variants = frozenset(session.scalars(select(Variant.id).where(mine)))
    about = or_(
        Alert.instance_pk.in_(images),
        Alert.patient_pk.in_(patients),
        Alert.kind.in_(saying(AlertKind.DUPLICATE_RECORD))
        & or_(Alert.other_patient_pk.in_(patients), Alert.other_instance_pk.in_(images)),
    )
    return _Rows(patients, studies, images, variants, frozenset(session.scalars(select(Alert.id).where(about))))


def _without_anything_else(session: Session, studies: frozenset[int], images: frozenset[int]) -> frozenset[int]:
    """The patients of these studies of whom nothing else is stored."""
    owners = set(session.scalars(select(Study.patient_pk).where(Study.id.in_(studies))))
    others = select(Study.patient_pk).where(Study.patient_pk.in_(owners), Study.id.not_in(studies))
    versions = select(Variant.patient_pk).where(Variant.patient_pk.in_(owners), Variant.instance_pk.not_in(images))
    return frozenset(owners - set(session.scalars(others)) - set(session.scalars(versions)))


def _extent(session: Session, rows: _Rows, quarantined: int) -> Extent:
    return Extent(
        patients=len(rows.patients),
        studies=len(rows.studies),
        images=len(rows.images),
        versions=len(rows.variants),
        codes=len(_column(session, Code.instance_pk, Code.instance_pk, rows.images)),
        alerts=len(rows.alerts),
        decisions=len(_column(session, Disposition.id, Disposition.alert_pk, rows.alerts)),
        quarantined=quarantined,
    )


def _note_leftovers(session: Session, purge_pk: int, rows: _Rows, quarantined: Collection[str]) -> None:
    named = {
        LeftoverKind.FILE: {
            *_column(session, Instance.file_digest, Instance.id, rows.images),
            *_column(session, Variant.file_digest, Variant.id, rows.variants),
        },
        LeftoverKind.QUARANTINE: set(quarantined),
        LeftoverKind.PREVIEW: {str(number) for number in rows.images},
        LeftoverKind.ALERT: {str(number) for number in rows.alerts},
    }
    session.add_all(
        Leftover(purge_pk=purge_pk, kind=kind, name=name) for kind, names in named.items() for name in sorted(names)
    )
    session.flush()


def _remove_alerts(session: Session, rows: _Rows) -> None:
    for label in rows.patients:
        for link in links_of(session, (label,)):
            if link.kind is LinkKind.SAME_PERSON and link.ended_at is None:
                unjoin(session, link.first_pk, link.second_pk, Author("(purge)"), link.alert_pk)
    _delete(session, PatientLink, PatientLink.first_pk, rows.patients)
    _delete(session, PatientLink, PatientLink.second_pk, rows.patients)
    for link in _all(session, PatientLink, PatientLink.alert_pk, rows.alerts):
        # Two other labels are one person still, though the alert that led to it is gone.
        link.alert_pk = None
    session.flush()
    _delete(session, Notification, Notification.alert_pk, rows.alerts)
    _delete(session, Disposition, Disposition.alert_pk, rows.alerts)
    _delete(session, Alert, Alert.id, rows.alerts)
    named = _all(session, Alert, Alert.other_instance_pk, rows.images)
    named += _all(session, Alert, Alert.other_patient_pk, rows.patients)
    for alert in named:
        alert.other_instance_pk, alert.other_patient_pk = None, None
        alert.evidence = {**alert.evidence, "other": None}
    session.flush()
    judge_anew(session, (alert.instance_pk for alert in named if alert.state in UNDECIDED))


def _remove_images(session: Session, rows: _Rows) -> None:
    _delete(session, Variant, Variant.id, rows.variants)
    _delete(session, Code, Code.instance_pk, rows.images)
    series = set(_column(session, Instance.series_pk, Instance.id, rows.images))
    series |= set(_column(session, Series.id, Series.study_pk, rows.studies))
    named = set(_column(session, Series.series_instance_uid, Series.id, series))
    _delete(session, RetrievedSeries, RetrievedSeries.series_instance_uid, named)
    _delete(session, PriorSearch, PriorSearch.patient_pk, rows.patients)
    _delete(session, Instance, Instance.id, rows.images)
    _delete(session, Series, Series.id, series)
    _delete(session, Study, Study.id, rows.studies)


def _remove_patients(session: Session, rows: _Rows, made: Purge, author: Author, key: bytes) -> None:
    """Leave of each patient the keyed hash, under the number that the audit trail names."""
    for number in sorted(rows.patients):
        patient = session.get_one(Patient, number)
        own = Subject(PurgeKind.PATIENT, patient.patient_id, patient.issuer)
        patient.patient_id, patient.issuer = own.keyed_hash(key), f"{GONE}{made.id}:{number}"
        patient.name = patient.birth_date = patient.sex = ""
        record(session, author.name, AuditAction.PURGED, "patient", number, number, author.address)
    session.flush()


def _forget_uids(session: Session, uids: set[str]) -> None:
    """Take the images out of storage commitments that were reported; others are still to be answered."""
    for one in session.scalars(select(Commitment).where(Commitment.state != NotificationState.PENDING)):
        kept = [reference for reference in one.references if reference[1] not in uids]
        if len(kept) != len(one.references):
            one.references = kept
    session.flush()


def _column(session: Session, wanted: Any, key: Any, values: Collection[Any]) -> list[Any]:
    return [value for batch in _batches(values) for value in session.scalars(select(wanted).where(key.in_(batch)))]


def _all(session: Session, table: Any, key: Any, values: Collection[Any]) -> list[Any]:
    return _column(session, table, key, values)


def _delete(session: Session, table: Any, key: Any, values: Collection[Any]) -> None:
    for batch in _batches(values):
        session.execute(delete(table).where(key.in_(batch)), execution_options={"synchronize_session": False})
    session.expire_all()


def _batches(values: Collection[Any]) -> Iterable[list[Any]]:
    listed = sorted(values)
    return (listed[start : start + _BATCH] for start in range(0, len(listed), _BATCH))
