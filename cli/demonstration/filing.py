"""Writes films as DICOM files under the header of the record they are filed under."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from cli.demonstration.films import Drawn, Taken
from cli.demonstration.stream import Shot
from cli.sources import is_dicom
from dicom_node.wrap import PatientHeader, StudyHeader, View, digital_xray, grey_image, twelve_bit, uid_from
from retrieval import phantom

SIDE = 1024
ISSUER = "DEMO"
FAMILIES = (
    "Adler", "Brandt", "Conti", "Dubois", "Eriksen", "Fischer", "Garcia", "Hansen", "Ivanova", "Jansen", "Keller",
    "Lopez", "Moreau", "Novak", "Olsen", "Petrov", "Quinn", "Rossi", "Schmid", "Tanaka", "Ueda", "Varga", "Weber",
    "Xu", "Yilmaz", "Zeman",
)  # fmt: skip
GIVEN = {
    "F": ("Ada", "Berta", "Clara", "Dora", "Elsa", "Frida", "Greta", "Hanna", "Ines", "Klara", "Lena", "Maria"),
    "M": ("Albert", "Bruno", "Carl", "David", "Emil", "Felix", "Georg", "Hugo", "Ivan", "Karl", "Luca", "Max"),
}


@dataclass(frozen=True)
class Record:
    """A patient record: everything that makes a header of its own."""

    patient: PatientHeader


def records(
    shots: Sequence[Shot[Drawn]] | Sequence[Shot[Taken]], seed: int, today: datetime.date, invent: bool = True
) -> dict[str, Record]:
    """A record for each label of the stream; a person's second record differs in its Patient ID alone.

    Args:
        today: the day for which ages are given.
        invent: whether sex and age are made up where nothing is known of them; names always are.
    """
    chance = random.Random(seed)
    about: dict[str, Drawn | Taken] = {}
    for shot in shots:
        about.setdefault(shot.film.person, shot.film.content)
    persons = {person: _demographics(content, chance, today, invent) for person, content in about.items()}
    owner = {shot.label: shot.film.person for shot in shots}
    found = {}
    for number, label in enumerate(dict.fromkeys(shot.label for shot in shots)):
        name, sex, born = persons.get(label) or persons[owner[label]]
        header = PatientHeader(
            patient_id=f"LP{seed % 100:02d}{number + 1:04d}", issuer=ISSUER, name=name, birth_date=born, sex=sex
        )
        found[label] = Record(header)
    return found


def write(shot: Shot[Drawn] | Shot[Taken], record: Record, taken: datetime.datetime, seed: int, folder: Path) -> Path:
    """Write one film as a DICOM file under a record's header; the same arguments give the same bytes.

    Args:
        taken: when the film was taken, as the header says.

    Raises:
        CannotWrap: a picture cannot be read.
    """
    study = StudyHeader(
        taken=taken,
        accession_number=f"A{shot.number + 1:06d}",
        study_uid=uid_from("demo", seed, shot.number, "study"),
        series_uid=uid_from("demo", seed, shot.number, "series"),
        instance_uid=instance_uid(seed, shot.number),
        institution="Lungprint demo",
    )
    content = shot.film.content
    if isinstance(content, Drawn):
        image = _draw(content, shot.film.lateral, record.patient, study)
    elif is_dicom(content.path):
        image = _relabel(content.path, record.patient, study)
    else:
        view = View.LL if shot.film.lateral else View.AP if content.view.upper().startswith("AP") else View.PA
        image = digital_xray(grey_image(content.path), patient=record.patient, study=study, view=view)
    target = folder / f"{shot.number:05d}.dcm"
    image.save_as(target, enforce_file_format=True)
    return target


def instance_uid(seed: int, number: int) -> str:
    """SOP Instance UID of a shot."""
    return uid_from("demo", seed, number, "instance")


def _draw(film: Drawn, lateral: bool, patient: PatientHeader, study: StudyHeader) -> Dataset:
    person = phantom.random_person(np.random.default_rng(film.person_seed))
    exam = phantom.random_exam(np.random.default_rng(film.exam_seed))
    tones = phantom.lateral(person, exam, SIDE) if lateral else phantom.render(person, exam, SIDE)
    view = View.LL if lateral else View.AP if exam.view is phantom.View.AP else View.PA
    return digital_xray(twelve_bit(tones), patient=patient, study=study, view=view)


def _relabel(path: Path, patient: PatientHeader, study: StudyHeader) -> Dataset:
    image = pydicom.dcmread(path)
    image.PatientID, image.IssuerOfPatientID = patient.patient_id, patient.issuer
    image.PatientName, image.PatientSex = patient.name, patient.sex
    image.PatientBirthDate = patient.birth_date.strftime("%Y%m%d") if patient.birth_date else ""
    image.StudyInstanceUID, image.SeriesInstanceUID = study.study_uid, study.series_uid
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(study.instance_uid)
    image.AccessionNumber = study.accession_number
    image.StudyDate, image.StudyTime = study.taken.strftime("%Y%m%d"), study.taken.strftime("%H%M%S")
    return image


def _demographics(
    content: Drawn | Taken, chance: random.Random, today: datetime.date, invent: bool
) -> tuple[str, str, datetime.date | None]:
    age: float | None
    if isinstance(content, Drawn):
        person = phantom.random_person(np.random.default_rng(content.person_seed))
        sex, age = ("F" if person.sex is phantom.Sex.FEMALE else "M"), float(person.age)
    else:
        sex = content.sex if content.sex in GIVEN else chance.choice("FM") if invent else ""
        age = content.age if content.age is not None else chance.uniform(20, 85) if invent else None
    name = f"{chance.choice(FAMILIES)}^{chance.choice(GIVEN[sex or 'F'])}"
    born = None if age is None else today - datetime.timedelta(days=int(365.25 * age) + chance.randrange(365))
    return name, sex, born
