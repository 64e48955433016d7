"""What two records' headers say about whether they are one person's: sex and birth date."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EvidenceInvalid

# Two persons: one sex in two, and birth dates spread over 60 years.
_SAME_SEX = 0.5
_SAME_BIRTH_DATE = 1.0 / (60 * 365.25)


@dataclass(frozen=True)
class Header:
    """Demographics of a record, "" where the header says nothing.

    Attributes:
        sex: Patient's Sex (0010,0040). birth_date: Patient's Birth Date (0010,0030), YYYYMMDD.
    """

    sex: str = ""
    birth_date: str = ""


_SAYS_NOTHING = Header()


@dataclass(frozen=True)
class Headers:
    """The headers of many records.

    Attributes:
        known: by the number of a person; one that is missing says nothing.
        error_rate: see `log_ratio`.
    """

    known: Mapping[int, Header] = field(default_factory=dict)
    error_rate: float = 0.02

    def of(self, person: int) -> Header:
        """What is known of a person's record."""
        return self.known.get(person, _SAYS_NOTHING)

    def log_ratio(self, one: int, other: int) -> float:
        """Evidence that the records of two persons are of one, see `log_ratio`."""
        return log_ratio(self.of(one), self.of(other), self.error_rate)

    def log_ratios(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        """`log_ratio` float64 (n,) of many pairs of persons, int64 (n,) each."""
        found = np.zeros(len(ones))
        numbers, entries = self._entries
        if not len(numbers):
            return found
        one, other = (np.searchsorted(numbers, persons).clip(max=len(numbers) - 1) for persons in (ones, others))
        both = (numbers[one] == ones) & (numbers[other] == others)
        for entry, by_chance in zip(entries, (_SAME_SEX, _SAME_BIRTH_DATE), strict=True):
            told = both & (entry[one] >= 0) & (entry[other] >= 0)
            agree, differ = (_weight(agrees, self.error_rate, by_chance) for agrees in (True, False))
            found += np.where(told, np.where(entry[one] == entry[other], agree, differ), 0.0)
        return found

    @cached_property
    def _entries(self) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Numbers of persons, ascending; a number for what each one's sex and birth date are, -1 for nothing."""
        numbers = sorted(self.known)
        sexes = np.array([("F", "M").index(sex) if (sex := self.of(one).sex) in ("F", "M") else -1 for one in numbers])
        dates = np.array([self.of(one).birth_date for one in numbers], dtype=str)
        days = np.where(dates == "", -1, np.unique(dates, return_inverse=True)[1])
        return np.array(numbers, np.int64), (sexes, days)

    @property
    def highest(self) -> float:
        """The most that two headers can say for one person."""
        agreeing = Header("F", "19700101")
        return log_ratio(agreeing, agreeing, self.error_rate)


def log_ratio(one: Header, other: Header, error_rate: float) -> float:
    """Evidence that two records are of one person: natural-log likelihood ratio, against two persons.

    One person's records differ in an entry as often as entries are wrong or change; two persons' agree by chance: in
    sex every second time, in birth date once in 60 years of days. A missing entry says nothing, nor does a sex other
    than `F` and `M`.

    Args:
        error_rate: share of entries that are wrong or have changed, in (0, 0.5).

    Raises:
        EvidenceInvalid: the rate is outside its bounds.

    Source: the weights of record linkage, Fellegi and Sunter 1969, Journal of the American Statistical Association
    64:1183.
    """
    if not 0.0 < error_rate < 0.5:
        raise EvidenceInvalid("The share of wrong header entries lies between 0 and 0.5.")
    found = 0.0
    if one.sex in ("F", "M") and other.sex in ("F", "M"):
        found += _weight(one.sex == other.sex, error_rate, _SAME_SEX)
    if one.birth_date and other.birth_date:
        found += _weight(one.birth_date == other.birth_date, error_rate, _SAME_BIRTH_DATE)
    return found


def _weight(agree: bool, error_rate: float, by_chance: float) -> float:
    if agree:
        return math.log((1.0 - error_rate) / by_chance)
    return math.log(error_rate / (1.0 - by_chance))
