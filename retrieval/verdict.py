"""From evidence to a verdict: how probable it is, given all comparisons, that an image carries the wrong name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EvidenceInvalid


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
    """

    number: int
    log_ratios: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.log_ratios.ndim != 1 or not len(self.log_ratios) or not np.all(np.isfinite(self.log_ratios)):
            raise EvidenceInvalid("A person is compared by at least one image, with finite likelihood ratios.")

    @property
    def log_ratio(self) -> float:
        """Log of the mean ratio: every image counts, and having many gives no unfair chance."""
        return float(np.logaddexp.reduce(self.log_ratios) - math.log(len(self.log_ratios)))


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
        probability: that the verdict is right, in [0, 1]; alerts are ranked by it.
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
        the person has a second record           δ · L · g
        misfiled, its owner is in the gallery    β · γ · g
        misfiled, its owner is not               β · (1 − γ)

    Without priors L is 1, and no prior can disagree: the first and last are one, *first seen*, and a match elsewhere,
    misfiled or not, says that label and match may be one person. The same pixels twice are a fact, and not weighed.

    Args:
        min_probability: in [0, 1]; below it, the verdict is *consistent* or *first seen*.
    """
    ranked = evidence.ranked
    if evidence.same_pixels:
        return Verdict(VerdictKind.DUPLICATE_IMAGE, 1.0, None, 0.0, 0.0)
    log_own = 0.0 if evidence.own is None else evidence.own.log_ratio
    log_others = np.array([person.log_ratio for person in ranked], np.float64)
    log_sum = float(np.logaddexp.reduce(log_others)) if ranked else -math.inf
    log_mean = log_sum - math.log(evidence.other_persons) if ranked else -math.inf
    right, second, found, unknown = _posterior(
        math.log1p(-rates.misfiled - rates.duplicate) + log_own,
        math.log(rates.duplicate) + log_own + log_mean,
        math.log(rates.misfiled * rates.owner_in_gallery) + log_mean,
        math.log(rates.misfiled) + math.log1p(-rates.owner_in_gallery),
    )
    of_best = math.exp(float(log_others[0]) - log_sum) if ranked else 0.0
    if evidence.own is None:
        return _without_priors(ranked, right + unknown, (second + found) * of_best, min_probability)
    misfiled, duplicate = min(found + unknown, 1.0), second * of_best
    if max(misfiled, duplicate) < min_probability:
        return Verdict(VerdictKind.CONSISTENT, right, None, misfiled, duplicate)
    if duplicate > misfiled:
        return Verdict(VerdictKind.DUPLICATE_RECORD, duplicate, ranked[0].number, misfiled, duplicate)
    if found > unknown:
        return Verdict(VerdictKind.WRONG_PATIENT, misfiled, ranked[0].number, misfiled, duplicate)
    return Verdict(VerdictKind.PRIOR_MISMATCH, misfiled, None, misfiled, duplicate)


def _without_priors(ranked: tuple[Person, ...], first_seen: float, duplicate: float, min_probability: float) -> Verdict:
    if ranked and duplicate >= min_probability:
        return Verdict(VerdictKind.DUPLICATE_RECORD, duplicate, ranked[0].number, 0.0, duplicate)
    return Verdict(VerdictKind.FIRST_SEEN, min(first_seen, 1.0), None, 0.0, duplicate)


def _posterior(*log_weights: float) -> tuple[float, ...]:
    highest = max(log_weights)
    weights = [math.exp(weight - highest) for weight in log_weights]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)
