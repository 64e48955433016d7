"""Asking a PACS what it has (Query SCU, PS3.4 C, Study Root): a patient's chest studies, a day's, their series."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from pydicom.dataset import Dataset

from config.errors import LungprintError
from config.settings import Priors

# More answers than this to one question are not read.
MOST_MATCHES = 20_000
_PENDING = (0xFF00, 0xFF01)
Find = Callable[[Dataset], Iterator[tuple[Dataset, Dataset | None]]]
"""Sends the identifier of a C-FIND request and gives each status with its match; see `retrieve.Pacs.find`."""

# PS3.4 C.2.2.2.4 and the separator of values: what a PACS takes for more than the letters of an identifier.
_WILD = frozenset("*?\\")


class QueryFailed(LungprintError):
    """A PACS did not answer a query, or answered with a failure; the text holds no patient data."""


@dataclass(frozen=True)
class FoundStudy:
    """A study that the PACS has; texts are "" where it does not say.

    Attributes:
        day: Study Date as sent, YYYYMMDD.
        modalities: of its series; empty where the PACS does not say.
    """

    study_instance_uid: str
    patient_id: str
    issuer: str
    day: str
    modalities: frozenset[str]


@dataclass(frozen=True)
class FoundSeries:
    """A series that the PACS has."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    body_part: str


def studies_of(find: Find, patient_id: str, issuer: str, first: date, last: date) -> list[FoundStudy]:
    """A patient's studies between two days, the newest first.

    Identity is Patient ID *and* issuer: answers with another Patient ID are left out, and those that name another
    issuer; a PACS that names none is believed.

    Raises:
        QueryFailed: the identifier cannot be asked for, or the PACS does not answer.
    """
    if not patient_id or _WILD & set(patient_id):
        raise QueryFailed("The Patient ID is empty or holds *, ? or a backslash, so no PACS can be asked for it.")
    asked = _study_keys(first, last)
    asked.PatientID = patient_id
    asked.IssuerOfPatientID = issuer
    found = [study for study in _studies(find, asked) if study.patient_id == patient_id]
    mine = [study for study in found if not study.issuer or study.issuer == issuer]
    return sorted(mine, key=lambda study: study.day, reverse=True)


def studies_on(find: Find, day: date) -> list[FoundStudy]:
    """All studies of one day; errors as for `studies_of`."""
    return list(_studies(find, _study_keys(day, day)))


def has_modality(study: FoundStudy, options: Priors) -> bool:
    """Whether a study may hold a series of the configured modalities."""
    return not study.modalities or bool(study.modalities & set(options.modalities))


def chest_series(find: Find, study: FoundStudy, options: Priors) -> list[FoundSeries]:
    """A study's series of the configured modalities, unless they name other body parts alone; errors as above."""
    asked = Dataset()
    asked.QueryRetrieveLevel = "SERIES"
    asked.StudyInstanceUID = study.study_instance_uid
    asked.SeriesInstanceUID = asked.Modality = asked.BodyPartExamined = ""
    found = [
        FoundSeries(
            study.study_instance_uid,
            _text(match, "SeriesInstanceUID"),
            _text(match, "Modality").upper(),
            _text(match, "BodyPartExamined").upper(),
        )
        for match in _matches(find, asked)
    ]
    return [series for series in found if series.series_instance_uid and _is_chest(series, options)]


def _is_chest(series: FoundSeries, options: Priors) -> bool:
    if series.modality not in options.modalities:
        return False
    part = series.body_part
    return not part or not options.body_parts or any(word.upper() in part for word in options.body_parts)


def _study_keys(first: date, last: date) -> Dataset:
    asked = Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    asked.QueryRetrieveLevel = "STUDY"
    asked.StudyDate = f"{first:%Y%m%d}-{last:%Y%m%d}"
    asked.PatientID = asked.IssuerOfPatientID = asked.StudyInstanceUID = asked.ModalitiesInStudy = ""
    return asked


def _studies(find: Find, asked: Dataset) -> Iterator[FoundStudy]:
    for match in _matches(find, asked):
        uid = _text(match, "StudyInstanceUID")
        if uid:
            yield FoundStudy(
                uid,
                _text(match, "PatientID"),
                _text(match, "IssuerOfPatientID"),
                _text(match, "StudyDate"),
                _values(match, "ModalitiesInStudy"),
            )


def _matches(find: Find, asked: Dataset) -> Iterator[Dataset]:
    count = 0
    for status, match in find(asked):
        code = status.get("Status")
        if code is None:
            raise QueryFailed("The PACS did not answer the query.")
        if code in _PENDING and match is not None:
            count += 1
            if count > MOST_MATCHES:
                raise QueryFailed(f"The PACS answers one query with more than {MOST_MATCHES} matches.")
            yield match
        elif code != 0x0000:
            raise QueryFailed(f"The PACS answered the query with status 0x{code:04X}.")


def _text(match: Dataset, keyword: str) -> str:
    value = match.get(keyword)
    return "" if value is None else str(value).strip()


def _values(match: Dataset, keyword: str) -> frozenset[str]:
    value = match.get(keyword)
    if value is None or value == "":
        return frozenset()
    values = [value] if isinstance(value, str) else list(value)
    return frozenset(str(one).strip().upper() for one in values) - {""}
