"""From evidence to a verdict: how probable it is, given all comparisons, that an image carries the wrong name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EvidenceInvalid

# How far the likelihood ratios of an image with several images of a stranger go together, from 0 to 1: the intraclass
# correlation measured on validation patients (adults 0.70, children 0.68; with images of its own person 0.42).
CORRELATION = 0.7


class VerdictKind(StrEnum):
    """The rows of the verdict table."""

    CONSISTENT = "consistent"
    WRONG_PATIENT = "wrong_patient"
    PRIOR_MISMATCH = "prior_mismatch"
    DUPLICATE_RECORD = "duplicate_record"
    DUPLICATE_IMAGE = "duplicate_image"
    FIRST_SEEN = "first_seen"


@dataclass(frozen=True)
class Rates:
    """How often things happen, before any image is seen; all in (0, 1).

    Attributes:
        misfiled: share of images that carry another person's name.
        duplicate: share of persons who have a second record.
        owner_in_gallery: chance that the person shown in a misfiled image is in the gallery.
    """

    misfiled: float
    duplicate: float
    owner_in_gallery: float

    def __post_init__(self) -> None:
        if not all(0.0 < rate < 1.0 for rate in (self.misfiled, self.duplicate, self.owner_in_gallery)):
            raise EvidenceInvalid("Rates lie strictly between 0 and 1.")
        if self.misfiled + self.duplicate >= 1.0:
            raise EvidenceInvalid("Misfiled images and duplicate records cannot be all there is.")


@dataclass(frozen=True, eq=False)
class Person:
    """The comparisons of a probe with all images of one person.

    Attributes:
        number: the caller's for the person.
        log_ratios: float64 (n,), n ≥ 1: natural-log likelihood ratios, one person against two, one an image.
        log_header: what sex and birth date say about the two records being one person's, see `retrieval.headers`.
    """

    number: int
    log_ratios: NDArray[np.float64]
    log_header: float = 0.0

    def __post_init__(self) -> None:
        finite = np.all(np.isfinite(self.log_ratios)) and math.isfinite(self.log_header)
        if self.log_ratios.ndim != 1 or not len(self.log_ratios) or not finite:
            raise EvidenceInvalid("A person is compared by at least one image, with finite likelihood ratios.")

    @cached_property
    def log_ratio(self) -> float:
        """What all images together say, see `together`."""
        if len(self.log_ratios) == 1:
            return float(self.log_ratios[0])
        return float(together(self.log_ratios, np.zeros(1, np.int64))[0])

    @property
    def log_record_ratio(self) -> float:
        """Evidence that the label's record and this one are one person's: images and headers together."""
        return self.log_ratio + self.log_header


def together(log_ratios: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """What all images of a person say: log of the mean ratio, so that having many gives no unfair chance.

    Images that agree confirm each other. As far as one match foretells the next (`CORRELATION`) they say the same
    again, so n of them are worth n / (1 + (n − 1) · ρ) of one; where one matches far better than the rest, n is 1.
    Images of a person that look unlike an image are no such news: one good match among several is enough.

    Args:
        log_ratios: float64 (n,), one an image, person after person.
        starts: int64 (k,), where each person's begin, from 0, ascending; each has one at least.

    Returns:
        float64 (k,).

    Source: the design effect and the effective number of weighted observations, Kish 1965, Survey Sampling, ch. 5 and
    11.
    """
    images = np.diff(starts, append=len(log_ratios))
    highest = np.maximum.reduceat(log_ratios, starts)
    shares = np.exp(log_ratios - np.repeat(highest, images))
    total = np.add.reduceat(shares, starts)
    mean = highest + np.log(total / images)
    agreeing = total**2 / np.add.reduceat(shares**2, starts)
    return np.where(mean > 0, mean * agreeing / (1.0 + (agreeing - 1.0) * CORRELATION), mean)


@dataclass(frozen=True)
class Evidence:
    """Everything that is known about a probe.

    Attributes:
        own: comparison with its label's priors; None if there are none.
        others: comparisons with other persons, each once: those the search found.
        other_persons: persons in the gallery besides the label, those in `others` included.
        same_pixels: whether the very same pixels are already there under another patient or study.
    """

    own: Person | None
    others: tuple[Person, ...]
    other_persons: int
    same_pixels: bool = False

    def __post_init__(self) -> None:
        numbers = {person.number for person in self.others}
        if len(numbers) != len(self.others) or (self.own is not None and self.own.number in numbers):
            raise EvidenceInvalid("A person was compared twice.")
        if self.other_persons < len(self.others):
            raise EvidenceInvalid("There are more persons compared than in the gallery.")

    @property
    def ranked(self) -> tuple[Person, ...]:
        """Other persons, the most alike first; ties by number."""
        return tuple(sorted(self.others, key=lambda person: (-person.log_ratio, person.number)))


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of a probe.

    Attributes:
        kind: row of the table.
        probability: that the verdict is right, in [0, 1].
        other: number of the person it looks like, for kinds that name one.
        misfiled: probability that the label is wrong. duplicate: that the label and the best other are one person.
    """

    kind: VerdictKind
    probability: float
    other: int | None
    misfiled: float
    duplicate: float

    def __post_init__(self) -> None:
        if not all(0.0 <= p <= 1.0 for p in (self.probability, self.misfiled, self.duplicate)):
            raise EvidenceInvalid("Probabilities lie between 0 and 1.")
        names_one = self.kind in (VerdictKind.WRONG_PATIENT, VerdictKind.DUPLICATE_RECORD)
        if names_one != (self.other is not None):
            raise EvidenceInvalid(f"A verdict {self.kind} {'names' if names_one else 'does not name'} another person.")


def judge(evidence: Evidence, rates: Rates, min_probability: float) -> Verdict:
    """Weigh the hypotheses that could explain the evidence.

    With L the ratio of the label's own priors, g the mean ratio over all other persons in the gallery (those that the
    search did not find count as 0, so a larger gallery asks for a better match), β, δ, γ the rates in their order:

        right label                              (1 − β − δ) · L
        the person has a second record           δ · L · h
        misfiled, its owner is in the gallery    β · γ · g
        misfiled, its owner is not               β · (1 − γ)

    h is g with every person's ratio multiplied by what the headers of the two records say: a misfiled image carries the
    header of its label, so headers speak about second records alone. A verdict needs evidence for it: an error that is
    less probable than before looking is none, whatever `min_probability` allows. A wrong label names the most alike
    person only if that is likelier than an owner outside the gallery: in a large one, many are somewhat alike.

    Without priors L is 1, and no prior can disagree: the first and last are one, *first seen*, and a match elsewhere,
    misfiled or not, says that label and match may be one person. The same pixels twice are a fact, and not weighed.

    Args:
        min_probability: in [0, 1]; below it, the verdict is *consistent* or *first seen*.
    """
    ranked = evidence.ranked
    if evidence.same_pixels:
        return Verdict(VerdictKind.DUPLICATE_IMAGE, 1.0, None, 0.0, 0.0)
    log_own = 0.0 if evidence.own is None else evidence.own.log_ratio
    log_mean, of_best = _mean_and_share([person.log_ratio for person in ranked], evidence.other_persons)
    records = [person.log_record_ratio for person in ranked]
    log_records, of_best_record = _mean_and_share(records, evidence.other_persons)
    right, second, found, unknown = _posterior(
        math.log1p(-rates.misfiled - rates.duplicate) + log_own,
        math.log(rates.duplicate) + log_own + log_records,
        math.log(rates.misfiled * rates.owner_in_gallery) + log_mean,
        math.log(rates.misfiled) + math.log1p(-rates.owner_in_gallery),
    )
    record = max(range(len(ranked)), key=lambda place: records[place]) if ranked else 0
    if evidence.own is None:
        # Either way the image matches another record: the one that both explanations together name.
        both = [second * of_best_record[i] + found * of_best[i] for i in range(len(ranked))]
        before = rates.duplicate + rates.misfiled * rates.owner_in_gallery
        return _without_priors(ranked, right + unknown, both, max(min_probability, before))
    misfiled, duplicate = min(found + unknown, 1.0), second * of_best_record[record] if ranked else 0.0
    speaks = (
        misfiled >= max(min_probability, rates.misfiled),
        duplicate >= max(min_probability, rates.duplicate),
    )
    if not any(speaks):
        return Verdict(VerdictKind.CONSISTENT, min(right, 1.0), None, misfiled, duplicate)
    if speaks[1] and (duplicate > misfiled or not speaks[0]):
        return Verdict(VerdictKind.DUPLICATE_RECORD, duplicate, ranked[record].number, misfiled, duplicate)
    if ranked and found * of_best[0] > unknown:
        return Verdict(VerdictKind.WRONG_PATIENT, misfiled, ranked[0].number, misfiled, duplicate)
    return Verdict(VerdictKind.PRIOR_MISMATCH, misfiled, None, misfiled, duplicate)


def _mean_and_share(log_ratios: list[float], persons: int) -> tuple[float, list[float]]:
    """Log of the mean ratio over all other persons, and each one's share of it; those not found count as 0."""
    if not log_ratios:
        return -math.inf, []
    total = float(np.logaddexp.reduce(np.array(log_ratios, np.float64)))
    return total - math.log(persons), [math.exp(ratio - total) for ratio in log_ratios]


def _without_priors(
    ranked: tuple[Person, ...], first_seen: float, matches: list[float], min_probability: float
) -> Verdict:
    best = max(range(len(ranked)), key=lambda place: matches[place]) if ranked else 0
    duplicate = min(matches[best], 1.0) if ranked else 0.0
    if ranked and duplicate >= min_probability:
        return Verdict(VerdictKind.DUPLICATE_RECORD, duplicate, ranked[best].number, 0.0, duplicate)
    return Verdict(VerdictKind.FIRST_SEEN, min(first_seen, 1.0), None, 0.0, duplicate)


def _posterior(*log_weights: float) -> tuple[float, ...]:
    highest = max(log_weights)
    weights = [math.exp(weight - highest) for weight in log_weights]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)
