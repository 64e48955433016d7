"""Labels that images are filed under, and what is known about two of them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.base import Base, UtcDateTime, named_enum, now
from archive.states import LinkKind


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
    kind: Mapped[LinkKind] = mapped_column(named_enum(LinkKind))
    first_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    second_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    surviving_pk: Mapped[int | None] = mapped_column(ForeignKey("patients.id"), default=None)
    alert_pk: Mapped[int | None] = mapped_column(ForeignKey("alerts.id"), default=None, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    created_by: Mapped[str] = mapped_column(String(64))
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    ended_by: Mapped[str] = mapped_column(String(64), default="")
