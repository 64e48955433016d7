"""Images with their studies, series, other versions and codes, and files that were refused."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from archive.models.base import Base, UtcDateTime, named_enum, now
from archive.models.patients import Patient
from archive.states import ChangeKind, ImageState

# Top, bottom, left and right bound of a part of an image, as shares of its height or width in [0, 1].
Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 1.0, 0.0, 1.0)


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
    file_digest: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    calling_ae: Mapped[str] = mapped_column(String(16), default="")
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    state: Mapped[ImageState] = mapped_column(named_enum(ImageState), default=ImageState.RECEIVED)
    reason: Mapped[str] = mapped_column(String(256), default="")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    view: Mapped[str] = mapped_column(String(16), default="")
    rows: Mapped[int | None] = mapped_column(default=None)
    columns: Mapped[int | None] = mapped_column(default=None)
    righting: Mapped[str] = mapped_column(String(64), default="")  # done to it before it was compared, in words
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
    __table_args__ = (UniqueConstraint("instance_pk", "file_digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    instance_pk: Mapped[int] = mapped_column(ForeignKey("instances.id"), index=True)
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    superseded: Mapped[bool] = mapped_column(default=False)
    pixel_sha256: Mapped[str | None] = mapped_column(String(64), default=None)
    file_digest: Mapped[str] = mapped_column(String(64))
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
    kind: Mapped[ChangeKind] = mapped_column(named_enum(ChangeKind))


class BackfilledFile(Base):
    """A file that a backfill has dealt with, so that it can go on where it stopped; paths may name patients."""

    __tablename__ = "backfilled_files"

    path_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    modified_ns: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[int] = mapped_column()
