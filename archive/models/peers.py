"""What other systems asked of this node, told it or were asked by it."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.base import Base, UtcDateTime, named_enum, now
from archive.states import NotificationState, SearchState


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
    state: Mapped[NotificationState] = mapped_column(named_enum(NotificationState), default=NotificationState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    reason: Mapped[str] = mapped_column(String(256), default="")
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    failures: Mapped[int | None] = mapped_column(default=None)


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


class PriorSearch(Base):
    """The search for a patient's earlier images at the PACS, made when the patient is first seen."""

    __tablename__ = "prior_searches"
    __table_args__ = (Index("ix_prior_searches_state_due", "state", "due_at"),)

    patient_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True, autoincrement=False)
    state: Mapped[SearchState] = mapped_column(named_enum(SearchState), default=SearchState.PENDING)
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
    state: Mapped[SearchState] = mapped_column(named_enum(SearchState), default=SearchState.PENDING)
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
