"""A stream of synthetic chest X-rays as a PACS would forward it, some of them filed under the wrong patient."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicom_node.wrap import PatientHeader, StudyHeader, digital_xray, twelve_bit, uid_from
from retrieval import phantom

FIRST_DAY = datetime.datetime(2026, 1, 5, 8, 0)


@dataclass(frozen=True)
class Sent:
    """One file of the stream: whose chest it shows and under whose name it is filed (person numbers)."""

    path: Path
    sop_instance_uid: str
    shown: int
    filed: int


def make_stream(folder: Path, persons: int, exams: int, size: int = 256, swaps: int = 0, seed: int = 1) -> list[Sent]:
    """Write `persons` x `exams` DX files, visit by visit; the last visit misfiles `swaps` persons under the next one.

    Args:
        folder: where the files go. size: side of the images in pixels. seed: of everything random.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    people = [phantom.random_person(chance) for _ in range(persons)]
    made = []
    for exam in range(exams):
        for shown, person in enumerate(people):
            swapped = exam == exams - 1 and shown < swaps
            filed = (shown + 1) % persons if swapped else shown
            pixels = twelve_bit(phantom.render(person, phantom.random_exam(chance), size=size))
            taken = FIRST_DAY + datetime.timedelta(days=30 * exam, minutes=shown)
            made.append(_write(folder, pixels, seed, shown, filed, exam, taken))
    return made


def patient_id(person: int) -> str:
    """The Patient ID under which a person's images are filed."""
    return f"SYN{person:05d}"


def _write(
    folder: Path, pixels: np.ndarray, seed: int, shown: int, filed: int, exam: int, taken: datetime.datetime
) -> Sent:
    uid = uid_from("stream", seed, shown, exam)
    image = digital_xray(
        pixels,
        patient=PatientHeader(patient_id=patient_id(filed), name=f"SYNTHETIC^{filed}", sex="O"),
        study=StudyHeader(taken=taken, accession_number=f"A{shown}-{exam}", instance_uid=uid),
    )
    path = folder / f"{exam:02d}-{shown:04d}.dcm"
    image.save_as(path, enforce_file_format=True)
    return Sent(path, uid, shown, filed)
