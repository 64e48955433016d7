"""The tables of the archive."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    TypeDecorator,
    UniqueConstraint,
    event,
    func,
    select,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from archive.states import (
    AlertKind,
    AlertState,
    ChangeKind,
    Channel,
    ImageState,
    LeftoverKind,
    LinkKind,
    NotificationState,
    PurgeKind,
    Role,
    SearchState,
)

# Top, bottom, left and right bound of a part of an image, as shares of its height or width in [0, 1].
Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 1.0, 0.0, 1.0)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, always UTC and always aware, whatever the database does with zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


def now() -> datetime:
    """The present time, in UTC."""
    return datetime.now(UTC)


def _enum(kind: type) -> Enum:
    return Enum(kind, native_enum=False, length=32, values_callable=lambda members: [m.value for m in members])


class Base(DeclarativeBase):
    """All tables."""


class Patient(Base):
    """A label: Patient ID and Issuer of Patient ID (PS3.3 C.2.2). One person may carry several.

    Labels that are known to be one person share `person_pk`, the lowest of their ids; see `archive.links`.
    """

    __tablename__ = "patients"
    __table_args__ = (UniqueConstraint("patient_id", "issuer"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[str] = mapped_column(String(128))
    issuer: Mapped[str] = mapped_column(String(128), default="")
    name: Mapped[str] = mapped_column(String(512), default="")
    birth_date: Mapped[str] = mapped_column(String(16), default="")
    sex: Mapped[str] = mapped_column(String(16), default="")
    person_pk: Mapped[int | None] = mapped_column(default=None, index=True)


class PatientLink(Base):
    """What is known about two labels beside their names; rows end, they are not removed, see `archive.links`.

    Of SAME_PERSON and TWO_PERSONS `first_pk` is the lower id; of LABEL_RIGHT it is the label that was right, and
    `second_pk` the one that its image looked like. `surviving_pk` is the label that a merge keeps in use.
    """

    __tablename__ = "patient_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[LinkKind] = mapped_column(_enum(LinkKind))
    first_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    second_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    surviving_pk: Mapped[int | None] = mapped_column(ForeignKey("patients.id"), default=None)
    alert_pk: Mapped[int | None] = mapped_column(ForeignKey("alerts.id"), default=None, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    created_by: Mapped[str] = mapped_column(String(64))
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    ended_by: Mapped[str] = mapped_column(String(64), default="")


class Study(Base):
    """A study as labelled; the same Study Instance UID under two patients makes two rows."""

    __tablename__ = "studies"
    __table_args__ = (UniqueConstraint("study_instance_uid", "patient_pk"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(128))
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    accession_number: Mapped[str] = mapped_column(String(64), default="", index=True)
    description: Mapped[str] = mapped_column(String(256), default="")
    acquired_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)

    patient: Mapped[Patient] = relationship()


class Series(Base):
    """A series of a study."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("series_instance_uid", "study_pk"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    series_instance_uid: Mapped[str] = mapped_column(String(128))
    study_pk: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    modality: Mapped[str] = mapped_column(String(16), default="")
    description: Mapped[str] = mapped_column(String(256), default="")

    study: Mapped[Study] = relationship()


class Instance(Base):
    """An image: its file, its label and where it is on its way."""

    __tablename__ = "instances"
    __table_args__ = (
        Index("ix_instances_state_due", "state", "due_at"),
        Index("ix_instances_pixels", "pixel_sha256"),
        Index("ix_instances_matched_at", "matched_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(128), unique=True)
    sop_class_uid: Mapped[str] = mapped_column(String(128))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(128))
    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    file_sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    calling_ae: Mapped[str] = mapped_column(String(16), default="")
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    state: Mapped[ImageState] = mapped_column(_enum(ImageState), default=ImageState.RECEIVED)
    reason: Mapped[str] = mapped_column(String(256), default="")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    view: Mapped[str] = mapped_column(String(16), default="")
    rows: Mapped[int | None] = mapped_column(default=None)
    columns: Mapped[int | None] = mapped_column(default=None)
    pixel_sha256: Mapped[str | None] = mapped_column(String(64), default=None)
    encoded_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    matched_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    verdict: Mapped[str] = mapped_column(String(32), default="")
    probability: Mapped[float | None] = mapped_column(default=None)
    judge_again: Mapped[bool] = mapped_column(default=False, index=True)  # a MATCHED one is to be compared once more

    series: Mapped[Series] = relationship()
    patient: Mapped[Patient] = relationship()
    code: Mapped[Code | None] = relationship(back_populates="instance", uselist=False)


class Variant(Base):
    """Other bytes that arrived under a SOP Instance UID that was already taken, kept beside the image's present ones.

    A `superseded` one was the image until a correction took its place; `pixel_sha256` is then what was known of it.
    """

    __tablename__ = "variants"
    __table_args__ = (UniqueConstraint("instance_pk", "file_sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    instance_pk: Mapped[int] = mapped_column(ForeignKey("instances.id"), index=True)
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    superseded: Mapped[bool] = mapped_column(default=False)
    pixel_sha256: Mapped[str | None] = mapped_column(String(64), default=None)
    file_sha256: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(128))
    size: Mapped[int] = mapped_column(BigInteger)
    calling_ae: Mapped[str] = mapped_column(String(16), default="")
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Quarantined(Base):
    """A file that was refused as unreadable, with the reason; the file itself stays in the quarantine folder."""

    __tablename__ = "quarantine"

    id: Mapped[int] = mapped_column(primary_key=True)
    file_name: Mapped[str] = mapped_column(String(128), unique=True)
    sop_class_uid: Mapped[str] = mapped_column(String(128), default="")
    sop_instance_uid: Mapped[str] = mapped_column(String(128), default="")
    calling_ae: Mapped[str] = mapped_column(String(16), default="")
    status: Mapped[int] = mapped_column()
    reason: Mapped[str] = mapped_column(String(256))
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Code(Base):
    """What the encoder said about an image."""

    __tablename__ = "codes"

    instance_pk: Mapped[int] = mapped_column(ForeignKey("instances.id"), primary_key=True)
    model_id: Mapped[str] = mapped_column(String(32), index=True)
    embedding: Mapped[bytes] = mapped_column(LargeBinary)  # float32, little endian, L2-normalised
    code: Mapped[bytes] = mapped_column(LargeBinary)  # packed bits
    attention: Mapped[bytes] = mapped_column(LargeBinary)  # uint8, row by row
    attention_rows: Mapped[int] = mapped_column()
    # The part of the image that `attention` covers: a Box; none (codes of earlier versions) = all of it.
    box: Mapped[list[float] | None] = mapped_column(JSON(none_as_null=True), default=None)

    instance: Mapped[Instance] = relationship(back_populates="code")


class GalleryChange(Base):
    """An image of the gallery that the index must look at again; gone once a snapshot of the index knows of it.

    `instance_pk` is no foreign key, as the image may be gone; ids are never used twice.
    """

    __tablename__ = "gallery_changes"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    instance_pk: Mapped[int] = mapped_column()
    kind: Mapped[ChangeKind] = mapped_column(_enum(ChangeKind))


class Purge(Base):
    """What was removed for good: who asked, when, how much; of whom, a keyed hash alone says, see `archive.purge`.

    `last_instance` and `last_alert` are the highest ids given out before, so that none is given out twice.
    """

    __tablename__ = "purges"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[PurgeKind] = mapped_column(_enum(PurgeKind))
    subject: Mapped[str] = mapped_column(String(64), index=True)
    requested_by: Mapped[str] = mapped_column(String(64))
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    counts: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    last_instance: Mapped[int] = mapped_column()
    last_alert: Mapped[int] = mapped_column()


class Leftover(Base):
    """What a purge has yet to remove outside the database's own rows, and, while it runs, whose decisions may go."""

    __tablename__ = "purge_leftovers"

    id: Mapped[int] = mapped_column(primary_key=True)
    purge_pk: Mapped[int] = mapped_column(ForeignKey("purges.id"), index=True)
    kind: Mapped[LeftoverKind] = mapped_column(_enum(LeftoverKind))
    name: Mapped[str] = mapped_column(String(128))


class Alert(Base):
    """Something a person should look at."""

    __tablename__ = "alerts"
    __table_args__ = (Index("ix_alerts_state", "state", "probability"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(96), unique=True)  # the same finding twice has the same key
    kind: Mapped[AlertKind] = mapped_column(_enum(AlertKind))
    state: Mapped[AlertState] = mapped_column(_enum(AlertState), default=AlertState.OPEN)
    probability: Mapped[float] = mapped_column()
    instance_pk: Mapped[int] = mapped_column(ForeignKey("instances.id"), index=True)
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    other_instance_pk: Mapped[int | None] = mapped_column(ForeignKey("instances.id"), default=None)
    other_patient_pk: Mapped[int | None] = mapped_column(ForeignKey("patients.id"), default=None)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    resolution: Mapped[str] = mapped_column(String(32), default="")  # why a RESOLVED one closed by itself

    instance: Mapped[Instance] = relationship(foreign_keys=[instance_pk])
    patient: Mapped[Patient] = relationship(foreign_keys=[patient_pk])
    other_instance: Mapped[Instance | None] = relationship(foreign_keys=[other_instance_pk])
    other_patient: Mapped[Patient | None] = relationship(foreign_keys=[other_patient_pk])
    dispositions: Mapped[list[Disposition]] = relationship(back_populates="alert", order_by="Disposition.id")


class Disposition(Base):
    """What a person decided about an alert; the newest one counts, the older ones stay."""

    __tablename__ = "dispositions"

    id: Mapped[int] = mapped_column(primary_key=True)
    alert_pk: Mapped[int] = mapped_column(ForeignKey("alerts.id"), index=True)
    user_pk: Mapped[int] = mapped_column(ForeignKey("users.id"))
    decision: Mapped[AlertState] = mapped_column(_enum(AlertState))
    note: Mapped[str] = mapped_column(String(4000), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    alert: Mapped[Alert] = relationship(back_populates="dispositions")
    user: Mapped[User] = relationship()


class Notification(Base):
    """A message about an alert that is to go out, kept until it is delivered; all of them are the outbox."""

    __tablename__ = "notifications"
    __table_args__ = (UniqueConstraint("alert_pk", "target"), Index("ix_notifications_state_due", "state", "due_at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), default=lambda: str(uuid4()))
    alert_pk: Mapped[int] = mapped_column(ForeignKey("alerts.id"))
    channel: Mapped[Channel] = mapped_column("target", _enum(Channel))
    batch: Mapped[str] = mapped_column(String(32), default="")  # messages with the same one go out together
    state: Mapped[NotificationState] = mapped_column(_enum(NotificationState), default=NotificationState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    reason: Mapped[str] = mapped_column(String(256), default="")

    alert: Mapped[Alert] = relationship()


class Hl7Message(Base):
    """An HL7 v2 message that was taken, so that the same one again changes nothing; its content is not kept."""

    __tablename__ = "hl7_messages"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    control_id: Mapped[str] = mapped_column(String(199))
    event: Mapped[str] = mapped_column(String(16))
    sender: Mapped[str] = mapped_column(String(64), default="")
    address: Mapped[str] = mapped_column(String(64), default="")
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class User(Base):
    """Someone who may sign in to the dashboard."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(256))
    role: Mapped[Role] = mapped_column(_enum(Role))
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class SignIn(Base):
    """A sign-in to the dashboard that has not ended; the browser holds the token, of which this is the digest."""

    __tablename__ = "sign_ins"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_pk: Mapped[int] = mapped_column(ForeignKey("users.id"))
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class AuditEvent(Base):
    """Who did or saw what, and when; rows are only ever added."""

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    user_name: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    object_kind: Mapped[str] = mapped_column(String(32), default="")
    object_pk: Mapped[int | None] = mapped_column(default=None)
    patient_pk: Mapped[int | None] = mapped_column(ForeignKey("patients.id"), default=None, index=True)
    address: Mapped[str] = mapped_column(String(64), default="")


class Commitment(Base):
    """A peer's request to commit to the safekeeping of images, kept until the report about it is delivered."""

    __tablename__ = "commitments"
    __table_args__ = (
        UniqueConstraint("peer", "transaction_uid", "digest"),
        Index("ix_commitments_state_due", "state", "due_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    peer: Mapped[str] = mapped_column(String(16))
    transaction_uid: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))  # of the list, so that the same request again is known
    references: Mapped[list[list[str]]] = mapped_column(JSON)  # SOP Class UID, SOP Instance UID
    is_repetition: Mapped[bool] = mapped_column(default=False)  # the transaction UID was used for another list
    state: Mapped[NotificationState] = mapped_column(_enum(NotificationState), default=NotificationState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    reason: Mapped[str] = mapped_column(String(256), default="")
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    failures: Mapped[int | None] = mapped_column(default=None)


class PriorSearch(Base):
    """The search for a patient's earlier images at the PACS, made when the patient is first seen."""

    __tablename__ = "prior_searches"
    __table_args__ = (Index("ix_prior_searches_state_due", "state", "due_at"),)

    patient_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True, autoincrement=False)
    state: Mapped[SearchState] = mapped_column(_enum(SearchState), default=SearchState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    reason: Mapped[str] = mapped_column(String(256), default="")
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class RetrievedSeries(Base):
    """A series that this node asked the PACS for; its images are history and raise no alerts of their own."""

    __tablename__ = "retrieved_series"

    series_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    complete: Mapped[bool] = mapped_column(default=False)


class RetrievedDay(Base):
    """A day whose chest images are fetched from the PACS, in the hours when it has time."""

    __tablename__ = "retrieved_days"
    __table_args__ = (Index("ix_retrieved_days_state_due", "state", "due_at"),)

    day: Mapped[date] = mapped_column(primary_key=True)
    state: Mapped[SearchState] = mapped_column(_enum(SearchState), default=SearchState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    reason: Mapped[str] = mapped_column(String(256), default="")
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    series: Mapped[int] = mapped_column(default=0)


class PacsQuery(Base):
    """What the PACS was asked by C-FIND, C-MOVE or C-GET; noted before it is asked, for the audit messages.

    `identifier` is the data set in Explicit VR Little Endian, empty once its patient or study was removed for good.
    """

    __tablename__ = "pacs_queries"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    peer: Mapped[str] = mapped_column(String(16))
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    identifier: Mapped[bytes] = mapped_column(LargeBinary)
    study_instance_uid: Mapped[str] = mapped_column(String(128), default="", index=True)
    patient_pk: Mapped[int | None] = mapped_column(ForeignKey("patients.id"), default=None, index=True)


class AuditExport(Base):
    """How far one receiver of audit messages has got: the last event, image and query that it was told of."""

    __tablename__ = "audit_exports"

    receiver: Mapped[str] = mapped_column(String(16), primary_key=True)
    event_pk: Mapped[int] = mapped_column(default=0)
    instance_pk: Mapped[int] = mapped_column(default=0)
    query_pk: Mapped[int] = mapped_column(default=0)


class BackfilledFile(Base):
    """A file that a backfill has dealt with, so that it can go on where it stopped; paths may name patients."""

    __tablename__ = "backfilled_files"

    path_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    modified_ns: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[int] = mapped_column()


# For each table whose ids the audit trail names: the highest id given out before the purges, and now.
_LAST_IDS = {
    Instance: (select(func.max(Purge.last_instance)), select(func.max(Instance.id))),
    Alert: (select(func.max(Purge.last_alert)), select(func.max(Alert.id))),
}


def id_after_purge(connection: Connection, model: type[Instance] | type[Alert]) -> int | None:
    """The id that a new row must be given, None when the database's own choice is right.

    SQLite gives the highest id again once its row was purged; the audit trail must not mean two things by one.
    """
    if connection.dialect.name != "sqlite":
        return None
    before, present = _LAST_IDS[model]
    purged = connection.scalar(before) or 0
    return purged + 1 if purged and purged > (connection.scalar(present) or 0) else None


@event.listens_for(Instance, "before_insert")
@event.listens_for(Alert, "before_insert")
def _give_no_id_twice(_: Any, connection: Connection, target: Instance | Alert) -> None:
    number = id_after_purge(connection, type(target)) if target.id is None else None
    if number is not None:
        target.id = number
