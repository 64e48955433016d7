"""95 % intervals by drawing patients, not images or pairs, again: images of one patient stand or fall together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

ROUNDS = 300


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of what other draws of patients would have given; both NaN where nothing could be computed."""

    low: float
    high: float


def patient_draws(patients: int, rounds: int = ROUNDS, seed: int = 0) -> npt.NDArray[np.uint16]:
    """How often each patient is drawn in each round, with replacement: uint16 (rounds, patients), rows sum to n.

    The same seed gives the same draws, so two methods on the same patients can be compared round by round.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13 (percentile interval).
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(patients, size=(rounds, patients))
    return np.stack([np.bincount(row, minlength=patients) for row in drawn]).astype(np.uint16)


def repeated(figures: Callable[[Floats], tuple[float, ...]], draws: npt.NDArray[np.uint16]) -> Floats:
    """Figures of every draw: float64 (rounds, k); `figures` is told how often each patient counts, (patients,)."""
    return np.array([figures(times.astype(np.float64)) for times in draws])


def interval(rounds: Floats) -> Interval:
    """Percentile interval of one figure over all draws (rounds,); draws in which it is not defined are left out."""
    defined = rounds[np.isfinite(rounds)]
    if not len(defined):
        return Interval(float("nan"), float("nan"))
    low, high = np.percentile(defined, (2.5, 97.5))
    return Interval(float(low), float(high))


def weighted_mean(values: Floats, patients: Numbers, times: Floats) -> float:
    """Mean of values (m,) that belong to patients (m,), each counted as often as its patient; NaN if none counts."""
    weights = times[patients]
    return float(values @ weights / weights.sum()) if weights.any() else float("nan")
