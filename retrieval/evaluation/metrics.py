"""Votes of pairs, and probabilities held against the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


def patient_votes(same: npt.NDArray[np.bool_], patient: Numbers) -> Floats:
    """Weights (m,) of pairs that give every patient one vote, however many pairs of one person it supplies.

    Args:
        same: bool (m,). patient: number (m,) of the first image's patient.
    """
    pairs = np.bincount(patient[same], minlength=int(patient.max(initial=0)) + 1)
    return np.where(same, 1.0 / np.maximum(pairs[patient], 1), 1.0)


@dataclass(frozen=True)
class Reliability:
    """Said and true probabilities by bins of equal width; k bins.

    Attributes:
        said, true: float64 (k,), weighted means in [0, 1], NaN in an empty bin.
        weight: float64 (k,), share of all pairs by weight. same, different: int64 (k,), numbers of pairs.
        expected_calibration_error, brier: in [0, 1].
    """

    said: Floats
    true: Floats
    weight: Floats
    same: Numbers
    different: Numbers
    expected_calibration_error: float
    brier: float


def reliability(probability: Floats, same: npt.NDArray[np.bool_], weights: Floats, bins: int = 10) -> Reliability:
    """Hold probabilities of weighted pairs against the truth.

    Args:
        probability: (m,). same: bool (m,). weights: (m,), ≥ 0. bins: of equal width over [0, 1].

    Source: expected calibration error, Naeini et al. 2015, AAAI.
    """
    weights = weights / weights.sum()
    place = np.minimum((probability * bins).astype(int), bins - 1)
    weight, said, true = (
        np.bincount(place, weights * x, minlength=bins) for x in (np.ones(len(same)), probability, same)
    )
    filled = np.where(weight > 0, weight, np.nan)
    return Reliability(
        said=said / filled,
        true=true / filled,
        weight=np.asarray(weight, dtype=np.float64),
        same=np.bincount(place[same], minlength=bins),
        different=np.bincount(place[~same], minlength=bins),
        expected_calibration_error=float(np.abs(said - true).sum()),
        brier=float((weights * (probability - same) ** 2).sum()),
    )


def calibration_error(
    probability: Floats, same: npt.NDArray[np.bool_], weights: Floats, bins: int = 10
) -> tuple[float, float]:
    """Expected calibration error (equal-width bins) and Brier score of weighted pairs, both in [0, 1].

    Args:
        probability: (m,). same: bool (m,). weights: (m,), ≥ 0.
    """
    found = reliability(probability, same, weights, bins)
    return found.expected_calibration_error, found.brier
