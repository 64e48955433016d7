"""Same person or not by one threshold that is learned from some patients and tried on the others, as in P3's tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.evaluation.cohort import Cohort

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_SEED = 0


@dataclass(frozen=True)
class Decision:
    """How well one threshold tells pairs of one person from pairs of two, on one cohort; NaN where it cannot be said.

    Attributes:
        dataset: name of the cohort.
        same_mean, different_mean: mean similarity of the pairs of one person, and of two.
        midpoint: threshold by P3's rule, midway between the two means. best: the one that decides best.
        midpoint_accuracy, best_accuracy: share of right decisions in [0, 1], both kinds of pairs weighing the
            same.

    Both thresholds come from the pairs within one half of the patients and are tried within the other half, in turn;
    given are the means of both turns.
    """

    dataset: str
    same_mean: float
    different_mean: float
    midpoint: float
    midpoint_accuracy: float
    best: float
    best_accuracy: float


def decide(similarity: npt.NDArray[np.floating], cohort: Cohort) -> Decision:
    """Learn and try the thresholds.

    Args:
        similarity: (n, n), of the cohort's n images, higher is more alike.

    Source: P3, §4.3.2 (tables 7 and 8), whose threshold and accuracy are of the same pairs.
    """
    scores, same = similarity[cohort.pairs].astype(np.float64), cohort.same
    first, second = cohort.pair_patients
    half = _halves(cohort)
    turns = []
    for learning in (0, 1):
        learned = (half[first] == learning) & (half[second] == learning)
        tried = (half[first] != learning) & (half[second] != learning)
        turns.append(_turn(scores[learned], same[learned], scores[tried], same[tried]))
    midpoint, midpoint_accuracy, best, best_accuracy = np.array(turns).mean(axis=0).tolist()
    return Decision(
        cohort.name, _mean(scores[same]), _mean(scores[~same]), midpoint, midpoint_accuracy, best, best_accuracy
    )


def best_threshold(scores: Floats, same: Flags) -> float:
    """The threshold from which on pairs are called one person that is right most often, both kinds weighing the same.

    It lies midway between two scores; the lowest of several equally good ones. Scores (m,), with both kinds present.
    """
    order = np.argsort(scores, kind="stable")
    ranked, kind = scores[order], same[order]
    # Right decisions if the k lowest pairs are called two persons: share of two below, and of one from there on.
    below = np.concatenate([[0], np.cumsum(~kind)]) / max(1, (~kind).sum())
    above = 1 - np.concatenate([[0], np.cumsum(kind)]) / max(1, kind.sum())
    cuts = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])
    ends = np.concatenate([ranked[:1] - 1, (ranked[1:] + ranked[:-1]) / 2, ranked[-1:] + 1])
    return float(ends[np.argmax(np.where(cuts, below + above, -1.0))])


def accuracy(scores: Floats, same: Flags, threshold: float) -> float:
    """Share of right decisions in [0, 1], pairs of one person and of two weighing the same; NaN without a kind."""
    return (_mean(scores[same] >= threshold) + _mean(scores[~same] < threshold)) / 2


def _turn(scores: Floats, same: Flags, tried: Floats, truth: Flags) -> tuple[float, float, float, float]:
    if same.all() or not same.any():
        return (float("nan"),) * 4
    midpoint, best = (_mean(scores[same]) + _mean(scores[~same])) / 2, best_threshold(scores, same)
    return midpoint, accuracy(tried, truth, midpoint), best, accuracy(tried, truth, best)


def _halves(cohort: Cohort) -> npt.NDArray[np.int64]:
    """0 or 1 for each patient, drawn so that patients with several images fall into both halves alike."""
    images = np.bincount(cohort.patients)
    order = np.lexsort((np.random.default_rng(_SEED).random(len(images)), -images))
    half = np.empty(len(images), dtype=np.int64)
    half[order] = np.arange(len(images)) % 2
    return half


def _mean(values: npt.NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else float("nan")
