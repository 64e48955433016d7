"""Entering an image that has arrived: its label, its study and series, itself, or what to do when it is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from archive import priors
from archive.alerts import Finding, conflict_key, raise_alert
from archive.changes import take_turn
from archive.corrections import Bytes, is_correction, replace_version
from archive.database import Database
from archive.models import Alert, Instance, Patient, Quarantined, RetrievedSeries, Series, Study, Variant, now
from archive.progress import GRACE_SECONDS
from archive.states import AlertKind
from config.settings import Settings

# Issuer under which an image without a Patient ID is entered; its study's UID follows. Nobody's label is nobody
# else's: images without a Patient ID belong together only when they are of one study.
NO_PATIENT_ID = "study:"

# Two listeners on one PostgreSQL may enter the same patient at the same moment; one of them starts again.
_ATTEMPTS = 5


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

    file_sha256: str
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
    known = session.scalar(select(Instance).where(Instance.sop_instance_uid == header.sop_instance_uid))
    if known is not None:
        return _register_again(session, settings, known, header, file)
    searches_priors = bool(settings.priors.peer and file.calling_ae and header.patient_id)
    series_pk, patient_pk = place(session, header, searches_priors)
    instance = Instance(
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid=header.transfer_syntax_uid,
        series_pk=series_pk,
        patient_pk=patient_pk,
        file_sha256=file.file_sha256,
        size=file.size,
        calling_ae=file.calling_ae,
        due_at=now() + timedelta(seconds=GRACE_SECONDS),
    )
    session.add(instance)
    session.flush()
    return Registered(instance.id, Outcome.NEW)


def _register_again(
    session: Session, settings: Settings, known: Instance, header: Header, file: StoredFile
) -> Registered:
    if known.file_sha256 != file.file_sha256:
        take_turn(session)
        session.refresh(known, with_for_update=True)
    if known.file_sha256 == file.file_sha256:
        return Registered(known.id, Outcome.SAME)
    same = select(Variant).where(Variant.instance_pk == known.id, Variant.file_sha256 == file.file_sha256)
    variant = session.scalar(same)
    if (variant is None or not variant.superseded) and is_correction(session, known, header.label):
        series_pk, patient_pk = place(session, header)
        corrected = Bytes(
            file.file_sha256, header.sop_class_uid, header.transfer_syntax_uid, file.size, file.calling_ae
        )
        replace_version(session, known, corrected, series_pk, patient_pk)
        return Registered(known.id, Outcome.CORRECTED)
    key = conflict_key(known.id, file.file_sha256)
    if variant is not None and session.scalar(select(Alert.id).where(Alert.key == key)) is not None:
        return Registered(known.id, Outcome.SAME)
    if variant is None:
        variant = Variant(
            instance_pk=known.id,
            patient_pk=_patient(session, header).id,
            file_sha256=file.file_sha256,
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

    They are found in one query for every image but a series' first.

    Args:
        searches_priors: a patient who is first seen now is looked up in the PACS, unless this image came from there.
    """
    patient_id, issuer = header.label
    query = (
        select(Series.id, Study.patient_pk)
        .join(Study, Series.study_pk == Study.id)
        .join(Patient, Study.patient_pk == Patient.id)
        .where(
            Series.series_instance_uid == header.series_instance_uid,
            Study.study_instance_uid == header.study_instance_uid,
            Patient.patient_id == patient_id,
            Patient.issuer == issuer,
        )
    )
    found = session.execute(query).one_or_none()
    if found is not None:
        return found[0], found[1]
    searches = searches_priors and session.get(RetrievedSeries, header.series_instance_uid) is None
    study = _study(session, _patient(session, header, searches), header)
    wanted = select(Series).where(Series.study_pk == study.id, Series.series_instance_uid == header.series_instance_uid)
    series = session.scalar(wanted) or Series(
        study_pk=study.id,
        series_instance_uid=header.series_instance_uid,
        modality=header.modality,
        description=header.series_description,
    )
    session.add(series)
    session.flush()
    return series.id, study.patient_pk


def _patient(session: Session, header: Header, search_priors: bool = False) -> Patient:
    patient_id, issuer = header.label
    patient = session.scalar(select(Patient).where(Patient.patient_id == patient_id, Patient.issuer == issuer))
    if patient is None:
        patient = Patient(patient_id=patient_id, issuer=issuer)
        session.add(patient)
        if search_priors:
            session.flush()
            priors.begin(session, patient.id)
    # The first statement of a demographic stands; later headers only fill what was missing.
    patient.name = patient.name or header.name
    patient.birth_date = patient.birth_date or header.birth_date
    patient.sex = patient.sex or header.sex
    session.flush()
    return patient


def _study(session: Session, patient: Patient, header: Header) -> Study:
    wanted = select(Study).where(Study.patient_pk == patient.id, Study.study_instance_uid == header.study_instance_uid)
    study = session.scalar(wanted)
    if study is None:
        study = Study(
            patient_pk=patient.id,
            study_instance_uid=header.study_instance_uid,
            accession_number=header.accession_number,
            description=header.study_description,
            acquired_at=header.acquired_at,
        )
        session.add(study)
        session.flush()
    return study
