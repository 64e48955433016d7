"""Entering an image that has arrived: its label, its study and series, itself, or what to do when it is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Insert, Table, and_, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from archive import priors
from archive.alerts import Finding, conflict_key, raise_alert
from archive.changes import take_turn
from archive.corrections import Bytes, is_correction, replace_version
from archive.database import Database
from archive.models import (
    Alert,
    Base,
    Instance,
    Patient,
    Quarantined,
    RetrievedSeries,
    Series,
    Study,
    Variant,
    id_after_purge,
    now,
)
from archive.progress import GRACE_SECONDS
from archive.states import AlertKind
from config.settings import Settings

# Issuer under which an image without a Patient ID is entered; its study's UID follows. Nobody's label is nobody
# else's: images without a Patient ID belong together only when they are of one study.
NO_PATIENT_ID = "study:"

# Two listeners on one PostgreSQL may enter the same patient at the same moment; one of them starts again.
_ATTEMPTS = 5


def _table(model: type[Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


_PATIENTS = _table(Patient)
_PATIENT_IS_KNOWN = and_(_PATIENTS.c.patient_id == bindparam("patient_id"), _PATIENTS.c.issuer == bindparam("issuer"))
_KNOWN = select(Instance.id, Instance.file_digest).where(Instance.sop_instance_uid == bindparam("uid"))
_PATIENT = select(_PATIENTS.c.id, _PATIENTS.c.name, _PATIENTS.c.birth_date, _PATIENTS.c.sex).where(_PATIENT_IS_KNOWN)
_PLACE = (
    select(Patient.id, Study.id, Series.id)
    .outerjoin(Study, and_(Study.patient_pk == Patient.id, Study.study_instance_uid == bindparam("study")))
    .outerjoin(Series, and_(Series.study_pk == Study.id, Series.series_instance_uid == bindparam("series")))
    .where(_PATIENT_IS_KNOWN)
)
_NEW_PATIENT, _NEW_STUDY = insert(_PATIENTS), insert(_table(Study))
_NEW_SERIES, _NEW_INSTANCE = insert(_table(Series)), insert(_table(Instance))


@dataclass(frozen=True)
class Header:
    """What the archive keeps of a DICOM header; texts are decoded, without control characters, "" where absent.

    Attributes:
        acquired_at: when the image was made, None when the header does not say.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_id: str = ""
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    study_description: str = ""
    series_description: str = ""
    modality: str = ""
    acquired_at: datetime | None = None

    @property
    def label(self) -> tuple[str, str]:
        """Patient ID and issuer; without a Patient ID, a label that is this study's alone."""
        if self.patient_id:
            return self.patient_id, self.issuer
        return "", f"{NO_PATIENT_ID}{self.study_instance_uid}"


@dataclass(frozen=True)
class StoredFile:
    """A file that is in its place: the digest that names it, its length in bytes, and who sent it."""

    file_digest: str
    size: int
    calling_ae: str = ""


class Outcome(StrEnum):
    """What entering an image came to."""

    NEW = "new"
    SAME = "same"
    VARIANT = "variant"
    CORRECTED = "corrected"


@dataclass(frozen=True)
class Registered:
    """The row that now stands for a SOP Instance UID, and how it got there."""

    instance_id: int
    outcome: Outcome


def register(database: Database, settings: Settings, header: Header, file: StoredFile) -> Registered:
    """Enter a file that is durably in its place; on return the row is durable too.

    - a SOP Instance UID not seen before: a row in state RECEIVED (`NEW`), due for the reconciler after a grace period;
    - the same UID and the same bytes: nothing changes (`SAME`);
    - the same UID and other bytes with another Patient ID, or after people have confirmed that the image is labelled
      wrongly: a correction (`CORRECTED`). The file takes the image's place under the label that it carries, in state
      RECEIVED; the earlier one is kept as its variant. See `archive.corrections`;
    - the same UID and other bytes that say nothing else about whose image it is, or that a correction has replaced
      before: the image stays as it is, the file is noted as its variant and people are alerted, once for each variant
      (`VARIANT`; the same variant again is `SAME`).

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be written; nothing was entered.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with database.write() as session:
                return _register(session, settings, header, file)
        except IntegrityError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def note_quarantined(database: Database, entry: Quarantined) -> bool:
    """Enter a refused file; the same file again is not entered twice.

    Returns:
        whether the file is new to the quarantine.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be written.
    """
    with database.write() as session:
        known = session.scalar(select(Quarantined.id).where(Quarantined.file_name == entry.file_name))
        if known is None:
            session.add(entry)
        return known is None


def _register(session: Session, settings: Settings, header: Header, file: StoredFile) -> Registered:
    connection = session.connection()
    known = connection.execute(_KNOWN, {"uid": header.sop_instance_uid}).first()
    if known is not None and known.file_digest == file.file_digest:
        return Registered(known.id, Outcome.SAME)
    if known is not None:
        return _register_again(session, settings, session.get_one(Instance, known.id), header, file)
    searches_priors = bool(settings.priors.peer and file.calling_ae and header.patient_id)
    series_pk, patient_pk = place(session, header, searches_priors)
    instance = {
        "sop_instance_uid": header.sop_instance_uid,
        "sop_class_uid": header.sop_class_uid,
        "transfer_syntax_uid": header.transfer_syntax_uid,
        "series_pk": series_pk,
        "patient_pk": patient_pk,
        "file_digest": file.file_digest,
        "size": file.size,
        "calling_ae": file.calling_ae,
        "due_at": now() + timedelta(seconds=GRACE_SECONDS),
    }
    number = id_after_purge(connection, Instance)
    if number is not None:
        instance["id"] = number
    return Registered(_insert(connection, _NEW_INSTANCE, instance), Outcome.NEW)


def _register_again(
    session: Session, settings: Settings, known: Instance, header: Header, file: StoredFile
) -> Registered:
    take_turn(session)
    session.refresh(known, with_for_update=True)
    if known.file_digest == file.file_digest:
        return Registered(known.id, Outcome.SAME)
    same = select(Variant).where(Variant.instance_pk == known.id, Variant.file_digest == file.file_digest)
    variant = session.scalar(same)
    if (variant is None or not variant.superseded) and is_correction(session, known, header.label):
        series_pk, patient_pk = place(session, header)
        corrected = Bytes(
            file.file_digest, header.sop_class_uid, header.transfer_syntax_uid, file.size, file.calling_ae
        )
        replace_version(session, known, corrected, series_pk, patient_pk)
        return Registered(known.id, Outcome.CORRECTED)
    key = conflict_key(known.id, file.file_digest)
    if variant is not None and session.scalar(select(Alert.id).where(Alert.key == key)) is not None:
        return Registered(known.id, Outcome.SAME)
    if variant is None:
        variant = Variant(
            instance_pk=known.id,
            patient_pk=_patient(session, header),
            file_digest=file.file_digest,
            transfer_syntax_uid=header.transfer_syntax_uid,
            size=file.size,
            calling_ae=file.calling_ae,
        )
        session.add(variant)
    finding = Finding(
        key=key,
        kind=AlertKind.DUPLICATE_IMAGE,
        probability=1.0,
        instance_id=known.id,
        patient_pk=variant.patient_pk,
        other_instance_id=known.id,
        other_patient_pk=known.patient_pk,
        evidence={"cause": "replaced_again" if variant.superseded else "uid_conflict"},
    )
    raise_alert(session, settings, finding)
    return Registered(known.id, Outcome.VARIANT)


def place(session: Session, header: Header, searches_priors: bool = False) -> tuple[int, int]:
    """Primary keys of the series and the patient of an image with this header, entered if they are new.

    They are found in one query. Statements are those of SQLAlchemy Core, made once: every image that arrives waits for
    them, and making objects of rows takes several times as long as SQLite does.

    Args:
        searches_priors: a patient who is first seen now is looked up in the PACS, unless this image came from there.
    """
    connection = session.connection()
    patient_id, issuer = header.label
    uids = {"study": header.study_instance_uid, "series": header.series_instance_uid}
    found = connection.execute(_PLACE, {"patient_id": patient_id, "issuer": issuer, **uids}).first()
    patient_pk, study_pk, series_pk = found or (None, None, None)
    if series_pk is not None and patient_pk is not None:
        return series_pk, patient_pk
    patient_pk = _patient(session, header, searches_priors)
    if study_pk is None:
        study = {
            "study_instance_uid": header.study_instance_uid,
            "patient_pk": patient_pk,
            "accession_number": header.accession_number,
            "description": header.study_description,
            "acquired_at": header.acquired_at,
        }
        study_pk = _insert(connection, _NEW_STUDY, study)
    series = {
        "series_instance_uid": header.series_instance_uid,
        "study_pk": study_pk,
        "modality": header.modality,
        "description": header.series_description,
    }
    return _insert(connection, _NEW_SERIES, series), patient_pk


def _patient(session: Session, header: Header, searches_priors: bool = False) -> int:
    """Primary key of the patient of an image with this header, entered if new; see `place` for `searches_priors`."""
    connection = session.connection()
    patient_id, issuer = header.label
    stated = {"name": header.name, "birth_date": header.birth_date, "sex": header.sex}
    known = connection.execute(_PATIENT, {"patient_id": patient_id, "issuer": issuer}).mappings().first()
    if known is None:
        patient_pk = _insert(connection, _NEW_PATIENT, {"patient_id": patient_id, "issuer": issuer, **stated})
        if searches_priors and session.get(RetrievedSeries, header.series_instance_uid) is None:
            priors.begin(session, patient_pk)
        return patient_pk
    # The first statement of a demographic stands; later headers only fill what was missing.
    filled = {name: value for name, value in stated.items() if value and not known[name]}
    if filled:
        connection.execute(update(_PATIENTS).where(_PATIENTS.c.id == known["id"]).values(filled))
    return int(known["id"])


def _insert(connection: Connection, statement: Insert, values: dict[str, Any]) -> int:
    """Enter a row; returns its primary key."""
    key = connection.execute(statement, values).inserted_primary_key
    assert key is not None
    return int(key[0])
