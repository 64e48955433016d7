"""Who may sign in, and who did or saw what."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.base import Base, UtcDateTime, named_enum, now
from archive.states import Role


class User(Base):
    """Someone who may sign in to the dashboard."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(256))
    role: Mapped[Role] = mapped_column(named_enum(Role))
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


class AuditExport(Base):
    """How far one receiver of audit messages has got: the last event, image and query that it was told of."""

    __tablename__ = "audit_exports"

    receiver: Mapped[str] = mapped_column(String(16), primary_key=True)
    event_pk: Mapped[int] = mapped_column(default=0)
    instance_pk: Mapped[int] = mapped_column(default=0)
    query_pk: Mapped[int] = mapped_column(default=0)
