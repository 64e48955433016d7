"""What a report to the PACS is about: an alert, the header of its image, and the image it was compared with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from archive.states import AlertKind
from dicom_node.header import assume_character_set, text_of
from dicom_node.wrap import uid_from

# Series of results come after those of any modality.
SERIES_NUMBER = 9900
MANUFACTURER = MODEL = "Lungprint"

_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_STUDY = ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID")
_IF_PRESENT = ("IssuerOfPatientID", "StudyDescription")
_REFERENCES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_HEADER = (
    "SpecificCharacterSet",
    "BurnedInAnnotation",
    "Rows",
    "Columns",
    *_PATIENT,
    *_STUDY,
    *_IF_PRESENT,
    *_REFERENCES,
)


@dataclass(frozen=True)
class Label:
    """Under whom the PACS has an image: Patient ID, its issuer, and the name and birth date that belong to them."""

    patient_id: str
    issuer: str
    name: str
    birth_date: str
    sex: str


@dataclass(frozen=True, eq=False)
class Subject:
    """An alert as it is reported.

    Attributes:
        uuid: of the message; names the report, so that every attempt sends the same object.
        label: of the image that the alert is about.
        image: header of that image, see `read_image_header`.
        other: header of the image it was compared with, None where there is none.
        same_label: whether `other` is filed under the same Patient ID.
        same_person: probability that the two images show one person, None where they were not compared.
        weights: names the network that compared.
    """

    uuid: str
    alert_id: int
    kind: AlertKind
    probability: float
    created_at: datetime
    label: Label
    image: Dataset
    other: Dataset | None
    same_label: bool
    same_person: float | None
    weights: str


def read_image_header(path: Path, undeclared: str) -> Dataset:
    """The elements of an image file that a report about it needs; texts are decoded.

    Args:
        undeclared: see `assume_character_set`.

    Raises:
        OSError, pydicom.errors.InvalidDicomError: the file cannot be read.
    """
    found = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_HEADER))
    assume_character_set(found, undeclared)
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _HEADER[1:]:
        if keyword in found:
            value = found.get(keyword) if keyword in ("Rows", "Columns") else text_of(found, keyword, 1024)
            setattr(header, keyword, value)
    return header


def adopt(report: Dataset, subject: Subject) -> None:
    """Put a report into the study of the image that it is about, under the label that the PACS knows now.

    Elements of the patient and the study are those of the image (PS3.3 C.7.1.1, C.7.2.1), so that the PACS finds one
    study and not two; a Patient ID that was corrected since takes name, birth date and sex with it.
    """
    image, label = subject.image, subject.label
    report.SpecificCharacterSet = "ISO_IR 192"
    report.StudyInstanceUID = image.StudyInstanceUID
    for keyword in (*_PATIENT, *_STUDY):
        setattr(report, keyword, image.get(keyword, ""))
    for keyword in _IF_PRESENT:
        if keyword in image:
            setattr(report, keyword, image[keyword].value)
    if (label.patient_id, label.issuer) != (image.get("PatientID", ""), image.get("IssuerOfPatientID", "")):
        report.PatientID, report.IssuerOfPatientID = label.patient_id, label.issuer
        report.PatientName, report.PatientBirthDate, report.PatientSex = label.name, label.birth_date, label.sex


def series_uid(subject: Subject, what: str) -> str:
    """Series Instance UID of the report of a kind ("report" or "capture"), always the same for a message."""
    return uid_from(subject.uuid, what, "series")


def instance_uid(subject: Subject, what: str) -> str:
    """SOP Instance UID of the report of a kind, always the same for a message."""
    return uid_from(subject.uuid, what, "instance")


def sentence(subject: Subject) -> str:
    """What the alert says, in one sentence without a name: the report lies in one patient's study."""
    return {
        AlertKind.WRONG_PATIENT: "The image looks unlike the earlier images of this patient and like an image filed "
        "under another Patient ID.",
        AlertKind.PRIOR_MISMATCH: "The image looks unlike the earlier images of this patient.",
        AlertKind.DUPLICATE_RECORD: "The image looks like an image filed under another Patient ID; the two records may "
        "be one person.",
        AlertKind.DUPLICATE_IMAGE: "The same image, or another one with its identifiers, is filed elsewhere.",
    }[subject.kind.finding] + " Nobody has checked this yet. Not for diagnosis."
