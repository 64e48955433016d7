"""What people should look at, what they decided, and the messages about it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from archive.models.base import Base, UtcDateTime, named_enum, now
from archive.models.images import Instance
from archive.models.patients import Patient
from archive.models.users import User
from archive.states import AlertKind, AlertState, Channel, NotificationState


class Alert(Base):
    """Something a person should look at."""

    __tablename__ = "alerts"
    __table_args__ = (Index("ix_alerts_state", "state", "probability"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(96), unique=True)  # the same finding twice has the same key
    kind: Mapped[AlertKind] = mapped_column(named_enum(AlertKind))
    state: Mapped[AlertState] = mapped_column(named_enum(AlertState), default=AlertState.OPEN)
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
    decision: Mapped[AlertState] = mapped_column(named_enum(AlertState))
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
    channel: Mapped[Channel] = mapped_column("target", named_enum(Channel))
    batch: Mapped[str] = mapped_column(String(32), default="")  # messages with the same one go out together
    state: Mapped[NotificationState] = mapped_column(named_enum(NotificationState), default=NotificationState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    reason: Mapped[str] = mapped_column(String(256), default="")

    alert: Mapped[Alert] = relationship()
