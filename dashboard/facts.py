"""Facts of image headers side by side, with those marked that differ."""

from __future__ import annotations

from dataclasses import dataclass

from archive.models import Instance
from dashboard.wording import SEXES, dicom_date, person_name, study_date


@dataclass(frozen=True)
class Fact:
    """One line of the comparison; `differs` only where a difference speaks against one person."""

    label: str
    left: str
    right: str
    differs: bool


# A new exam has a new date and accession number; only who it is may not differ.
IDENTIFYING = frozenset({"Patient", "Patient ID", "Issuer", "Birth date", "Sex"})


def facts(image: Instance) -> dict[str, str]:
    """What the header of an image says, by the label shown; "" where it says nothing."""
    patient, series, study = image.patient, image.series, image.series.study
    return {
        "Patient": person_name(patient.name),
        "Patient ID": patient.patient_id,
        "Issuer": patient.issuer,
        "Birth date": dicom_date(patient.birth_date),
        "Sex": SEXES.get(patient.sex, patient.sex),
        "Study date": study_date(study.acquired_at),
        "Accession": study.accession_number,
        "Study": study.description,
        "Series": " ".join(part for part in (series.modality, series.description) if part),
        "View": image.view,
        "Pixels": f"{image.columns} × {image.rows}" if image.rows and image.columns else "",
    }


def compared(left: Instance, right: Instance | None) -> list[Fact]:
    """The facts of two images; without a second image the right side stays empty and nothing differs."""
    ours = facts(left)
    theirs = facts(right) if right is not None else dict.fromkeys(ours, "")
    return [
        Fact(label, value, theirs[label], right is not None and label in IDENTIFYING and value != theirs[label])
        for label, value in ours.items()
        if value or theirs[label]
    ]
