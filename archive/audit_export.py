"""What audit trail, intake and queries to the PACS hold that a receiver of audit messages was not told yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from archive.database import Database
from archive.models import Alert, AuditEvent, AuditExport, Instance, PacsQuery, Patient, Series, Study
from archive.priors import IS_RETRIEVED

# Rows that are read at a time.
EVENTS, IMAGES = 500, 2000

# An image with its study and patient, and whether this node had asked for its series.
Image = tuple[Instance, Study, Patient, bool]


@dataclass(frozen=True)
class Subject:
    """The patient that an event is about."""

    patient_id: str
    issuer: str
    name: str


@dataclass(frozen=True)
class StudyOf:
    """The study that an event is about, with its images by SOP class."""

    uid: str
    accession_number: str
    classes: Mapping[str, int]


@dataclass(frozen=True)
class Done:
    """An event of the audit trail; `action` is a value of `AuditAction`, or one of a later version."""

    at: datetime
    user: str
    action: str
    address: str
    object_kind: str
    object_pk: int | None
    patient: Subject | None
    study: StudyOf | None


@dataclass(frozen=True)
class Received:
    """Images of one study that one sender has handed over.

    Attributes:
        calling_ae: the sender; "" for images read from a folder.
        requested: whether this node had asked for them by C-MOVE or C-GET.
    """

    at: datetime
    calling_ae: str
    patient: Subject
    study: StudyOf
    requested: bool = False


@dataclass(frozen=True)
class Asked:
    """A query or retrieve request of this node; see `archive.models.PacsQuery`."""

    at: datetime
    peer: str
    sop_class_uid: str
    identifier: bytes
    patient: Subject | None


@dataclass(frozen=True)
class Batch:
    """What comes next for a receiver, and where it then is."""

    done: tuple[Done, ...]
    received: tuple[Received, ...]
    asked: tuple[Asked, ...]
    event_pk: int
    instance_pk: int
    query_pk: int

    def __len__(self) -> int:
        return len(self.done) + len(self.received) + len(self.asked)


def next_batch(database: Database, receiver: str) -> Batch:
    """The oldest events, images and queries that a receiver does not know, some at a time; empty when it knows all."""
    with database.read() as session:
        known = session.get(AuditExport, receiver)
        told = (0, 0, 0) if known is None else (known.event_pk, known.instance_pk, known.query_pk)
        newest = _newest(session)
    if newest != told and database.engine.dialect.name == "postgresql":
        # There, a transaction may commit after another one that took a higher number; this waits for those under way.
        with database.write() as session:
            session.execute(text("LOCK TABLE audit_events, instances, pacs_queries IN SHARE MODE"))
            newest = _newest(session)
    with database.read() as session:
        events = _events(session, told[0], newest[0])
        images = _images(session, told[1], newest[1])
        queries = _queries(session, told[2], newest[2])
        return Batch(
            done=tuple(_done(session, events)),
            received=tuple(_received(images)),
            asked=tuple(_asked(queries)),
            event_pk=events[-1][0].id if events else told[0],
            instance_pk=images[-1][0].id if images else told[1],
            query_pk=queries[-1][0].id if queries else told[2],
        )


def record_told(session: Session, receiver: str, batch: Batch) -> None:
    """The receiver has this batch."""
    found = session.get(AuditExport, receiver, with_for_update=True) or AuditExport(receiver=receiver)
    found.event_pk, found.instance_pk, found.query_pk = batch.event_pk, batch.instance_pk, batch.query_pk
    session.add(found)


def _newest(session: Session) -> tuple[int, int, int]:
    highest = [select(func.max(table.id)).scalar_subquery() for table in (AuditEvent, Instance, PacsQuery)]
    event, instance, query = session.execute(select(*highest)).one()
    return event or 0, instance or 0, query or 0


def _events(session: Session, after: int, until: int) -> list[tuple[AuditEvent, Patient | None]]:
    query = (
        select(AuditEvent, Patient)
        .outerjoin(Patient, Patient.id == AuditEvent.patient_pk)
        .where(AuditEvent.id > after, AuditEvent.id <= until)
    )
    return [(row[0], row[1]) for row in session.execute(query.order_by(AuditEvent.id).limit(EVENTS))]


def _queries(session: Session, after: int, until: int) -> list[tuple[PacsQuery, Patient | None]]:
    query = (
        select(PacsQuery, Patient)
        .outerjoin(Patient, Patient.id == PacsQuery.patient_pk)
        .where(PacsQuery.id > after, PacsQuery.id <= until)
    )
    return [(row[0], row[1]) for row in session.execute(query.order_by(PacsQuery.id).limit(EVENTS))]


def _images(session: Session, after: int, until: int) -> list[Image]:
    query = (
        select(Instance, Study, Patient, IS_RETRIEVED)
        .join(Series, Instance.series_pk == Series.id)
        .join(Study, Series.study_pk == Study.id)
        .join(Patient, Instance.patient_pk == Patient.id)
        .where(Instance.id > after, Instance.id <= until)
    )
    found = session.execute(query.order_by(Instance.id).limit(IMAGES))
    return [(row[0], row[1], row[2], bool(row[3])) for row in found]


def _done(session: Session, events: Iterable[tuple[AuditEvent, Patient | None]]) -> list[Done]:
    events = list(events)
    images = {event.object_pk for event, _ in events if event.object_kind == "instance"}
    alerts = {event.object_pk for event, _ in events if event.object_kind == "alert"}
    studies = {("instance", pk): study for pk, study in _studies(session, images).items()}
    rows = session.execute(select(Alert.id, Alert.instance_pk).where(Alert.id.in_(alerts))).all()
    of_alerts = _studies(session, {row[1] for row in rows})
    studies |= {("alert", row[0]): of_alerts[row[1]] for row in rows if row[1] in of_alerts}
    return [
        Done(
            at=event.at,
            user=event.user_name,
            action=event.action,
            address=event.address,
            object_kind=event.object_kind,
            object_pk=event.object_pk,
            patient=None if patient is None else _subject(patient),
            study=studies.get((event.object_kind, event.object_pk or 0)),
        )
        for event, patient in events
    ]


def _studies(session: Session, instances: set[int | None]) -> dict[int, StudyOf]:
    query = (
        select(Instance.id, Instance.sop_class_uid, Study.study_instance_uid, Study.accession_number)
        .join(Series, Instance.series_pk == Series.id)
        .join(Study, Series.study_pk == Study.id)
        .where(Instance.id.in_(instances))
    )
    return {row[0]: StudyOf(row[2], row[3], {row[1]: 1}) for row in session.execute(query)}


def _asked(queries: Iterable[tuple[PacsQuery, Patient | None]]) -> list[Asked]:
    return [
        Asked(
            query.at,
            query.peer,
            query.sop_class_uid,
            query.identifier,
            None if patient is None else _subject(patient),
        )
        for query, patient in queries
    ]


def _received(images: Iterable[Image]) -> list[Received]:
    groups: dict[tuple[str, int, bool], list[Image]] = {}
    for row in images:
        groups.setdefault((row[0].calling_ae, row[1].id, row[3]), []).append(row)
    return [
        Received(
            at=rows[0][0].received_at,
            calling_ae=calling_ae,
            patient=_subject(rows[0][2]),
            study=StudyOf(
                rows[0][1].study_instance_uid,
                rows[0][1].accession_number,
                Counter(instance.sop_class_uid for instance, *_ in rows),
            ),
            requested=requested,
        )
        for (calling_ae, _, requested), rows in groups.items()
    ]


def _subject(patient: Patient) -> Subject:
    return Subject(patient.patient_id, patient.issuer, patient.name)
