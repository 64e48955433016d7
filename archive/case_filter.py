"""Which images of the archive a search may show: by study date, and by the patient's sex and age at the time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.gallery import MOST_VALUES
from archive.models import Instance, Patient, Series, Study
from archive.states import ImageState
from config.errors import LungprintError

SEXES = ("F", "M", "O")
OLDEST = 130


class FilterInvalid(LungprintError):
    """A search was narrowed by something that cannot be: no date, an impossible age, an unknown sex."""


@dataclass(frozen=True)
class CaseFilter:
    """What images must fit; None or "" asks for nothing. An image whose header does not say does not fit.

    Attributes:
        since, until: first and last day of the study.
        sex: Patient's Sex (PS3.3 C.7.1.1): F, M or O.
        age_from, age_to: least and highest age at the study, in completed years.
    """

    since: date | None = None
    until: date | None = None
    sex: str = ""
    age_from: int | None = None
    age_to: int | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            raise FilterInvalid("The first day lies after the last day; exchange them.")
        if self.sex and self.sex not in SEXES:
            raise FilterInvalid(f"The sex must be one of {', '.join(SEXES)}, as in DICOM.")
        ages = [age for age in (self.age_from, self.age_to) if age is not None]
        if any(not 0 <= age <= OLDEST for age in ages) or ages != sorted(ages):
            raise FilterInvalid(f"An age is between 0 and {OLDEST} years, the least first.")

    def __bool__(self) -> bool:
        return self != CaseFilter()

    @classmethod
    def read(cls, asked: dict[str, Any]) -> CaseFilter:
        """From texts or JSON: days as YYYY-MM-DD, ages as whole numbers; what is missing or empty asks for nothing.

        Raises:
            FilterInvalid: something is not of this form, or impossible.
        """
        return cls(
            since=_day(asked.get("since")),
            until=_day(asked.get("until")),
            sex=str(asked.get("sex") or ""),
            age_from=_years(asked.get("age_from")),
            age_to=_years(asked.get("age_to")),
        )

    def as_json(self) -> dict[str, Any]:
        """What `read` understands."""
        return {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "sex": self.sex,
            "age_from": self.age_from,
            "age_to": self.age_to,
        }


def fitting(session: Session, wanted: CaseFilter, instance_ids: Collection[int] | None = None) -> set[int]:
    """Ids of matched images that fit a filter.

    Args:
        instance_ids: among these; None = among all, which is faster from some thousand on.
    """
    query = (
        select(Instance.id, Patient.birth_date, Study.acquired_at)
        .join(Patient, Instance.patient_pk == Patient.id)
        .join(Series, Instance.series_pk == Series.id)
        .join(Study, Series.study_pk == Study.id)
        .where(Instance.state == ImageState.MATCHED)
    )
    if wanted.since:
        query = query.where(Study.acquired_at >= _midnight(wanted.since))
    if wanted.until:
        query = query.where(Study.acquired_at < _midnight(wanted.until + timedelta(days=1)))
    if wanted.sex:
        query = query.where(Patient.sex == wanted.sex)
    if instance_ids is None:
        rows: Sequence[Any] = session.execute(query).all()
    else:
        ids = sorted(instance_ids)
        batches = (ids[start : start + MOST_VALUES] for start in range(0, len(ids), MOST_VALUES))
        rows = [row for some in batches for row in session.execute(query.where(Instance.id.in_(some)))]
    if wanted.age_from is None and wanted.age_to is None:
        return {row[0] for row in rows}
    least, most = wanted.age_from or 0, OLDEST if wanted.age_to is None else wanted.age_to
    ages = ((number, age_at(birth_date, taken)) for number, birth_date, taken in rows)
    return {number for number, age in ages if age is not None and least <= age <= most}


def age_at(birth_date: str, taken: datetime | None) -> int | None:
    """Completed years at an exam; None where the header does not say.

    Args:
        birth_date: Patient's Birth Date, `YYYYMMDD`.

    >>> age_at("20000301", datetime(2020, 2, 29, tzinfo=UTC))
    19
    """
    if taken is None or len(birth_date) != 8 or not birth_date.isdecimal():
        return None
    born = int(birth_date)
    at = taken.year * 10_000 + taken.month * 100 + taken.day
    return (at - born) // 10_000 if born <= at else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _day(text: object) -> date | None:
    if text in (None, ""):
        return None
    try:
        return date.fromisoformat(str(text))
    except ValueError as error:
        raise FilterInvalid("A day must be given as YYYY-MM-DD, for example 2024-03-14.") from error


def _years(text: object) -> int | None:
    if text in (None, ""):
        return None
    try:
        return int(str(text))
    except ValueError as error:
        raise FilterInvalid("An age must be given in whole years.") from error
