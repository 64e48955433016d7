"""Synthetic films of two persons, as pictures and as DICOM, for commands that read images."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from dicom_node.wrap import PatientHeader, StudyHeader, View, digital_xray, twelve_bit
from retrieval import phantom


@dataclass(frozen=True)
class Films:
    """A folder with `a1.dcm`, `a2.dcm` (one person), `b1.dcm` (another), `a1.png`, `lateral.dcm` and `broken.png`."""

    folder: Path

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    folder = tmp_path_factory.mktemp("films")
    persons = {
        "a": phantom.random_person(np.random.default_rng(1)),
        "b": phantom.random_person(np.random.default_rng(2)),
    }
    for name in ("a1", "a2", "b1", "lateral"):
        person = persons.get(name[0], persons["a"])
        exam = phantom.random_exam(np.random.default_rng(len(name) + ord(name[1])))
        tones = phantom.lateral(person, exam, 512) if name == "lateral" else phantom.render(person, exam, 512)
        image = digital_xray(
            twelve_bit(tones),
            patient=PatientHeader(patient_id=name[0].upper(), name="Secret^Name"),
            study=StudyHeader(taken=datetime(2024, 1, 1)),
            view=View.LL if name == "lateral" else View.PA,
        )
        image.save_as(folder / f"{name}.dcm", enforce_file_format=True)
        if name == "a1":
            cv2.imwrite(str(folder / "a1.png"), np.rint(tones * 255).astype(np.uint8))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (folder / "manifest.csv").write_text("file,patient\na1.png,A\nb1.dcm,B\n")
    return Films(folder)
