"""An alert about two real radiographs, as it is reported to a PACS."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from archive.states import AlertKind
from dicom_node.report_subject import Label, Subject, read_image_header
from dicom_node.wrap import PatientHeader, StudyHeader, digital_xray

OWN = PatientHeader(patient_id="P-OWN", issuer="HOSPITAL", name="Müller^Jürgen", birth_date=date(1970, 1, 31), sex="M")
OTHER = PatientHeader(
    patient_id="P-OTHER", issuer="HOSPITAL", name="Secret^Sarah", birth_date=date(1980, 2, 28), sex="F"
)


def radiograph(number: int, patient: PatientHeader) -> Dataset:
    """A DX image of noise."""
    pixels = np.random.default_rng(number).integers(0, 4095, (64, 48), dtype=np.uint16)
    study = StudyHeader(taken=datetime(2024, 1, 1 + number, 9, 30), accession_number=f"A{number}")
    return digital_xray(pixels, patient=patient, study=study)


def header(folder: Path, number: int, patient: PatientHeader) -> Dataset:
    """Header of a radiograph that went through a file."""
    path = folder / f"{number}.dcm"
    radiograph(number, patient).save_as(path, enforce_file_format=True)
    return read_image_header(path, "ISO_IR 100")


def subject(folder: Path, **changes: Any) -> Subject:
    """An alert that the image of one patient looks like another patient's."""
    given: dict[str, Any] = {
        "uuid": "4b3f2a50-0000-4000-8000-000000000001",
        "alert_id": 12,
        "kind": AlertKind.WRONG_PATIENT,
        "probability": 0.6234,
        "created_at": datetime(2024, 3, 1, tzinfo=UTC),
        "label": Label("P-OWN", "HOSPITAL", "Müller^Jürgen", "19700131", "M"),
        "image": header(folder, 1, OWN),
        "other": header(folder, 2, OTHER),
        "same_label": False,
        "same_person": 0.9876,
        "weights": "0123456789ab",
    }
    return Subject(**(given | changes))
