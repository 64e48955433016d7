"""The figures of the evaluation: pair verification, search, swaps, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


def weighted_auc(scores: npt.NDArray[np.floating], same: npt.NDArray[np.bool_], weights: Floats | None = None) -> float:
    """Probability that a pair of one person scores above a pair of two; ties count half; NaN if a kind is missing.

    Args:
        scores: (m,). same: bool (m,). weights: (m,), ≥ 0; all one if None.
    """
    _, level = np.unique(scores, return_inverse=True)
    return _auc_of_levels(level, same, np.ones(len(scores)) if weights is None else weights)


def patient_votes(same: npt.NDArray[np.bool_], patient: Numbers) -> Floats:
    """Weights (m,) of pairs that give every patient one vote, however many pairs of one person it supplies.

    Args:
        same: bool (m,). patient: number (m,) of the first image's patient.
    """
    pairs = np.bincount(patient[same], minlength=int(patient.max()) + 1)
    return np.where(same, 1.0 / np.maximum(pairs[patient], 1), 1.0)


def auc_interval(
    scores: npt.NDArray[np.floating],
    same: npt.NDArray[np.bool_],
    patients: tuple[Numbers, Numbers],
    rounds: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of the AUC, every patient with one vote, when patients, not pairs, are drawn again.

    Args:
        scores, same: as in `weighted_auc`.
        patients: numbers (m,) and (m,) of the two images' patients.
    """
    _, level = np.unique(scores, return_inverse=True)
    count = int(max(patients[0].max(), patients[1].max())) + 1
    rng = np.random.default_rng(seed)
    votes = patient_votes(same, patients[0])
    found = []
    for _ in range(rounds):
        times = np.bincount(rng.integers(count, size=count), minlength=count).astype(np.float64)
        weights = votes * np.where(same, times[patients[0]], times[patients[0]] * times[patients[1]])
        found.append(_auc_of_levels(level, same, weights))
    low, high = np.nanpercentile(found, (2.5, 97.5))
    return float(low), float(high)


def true_positive_rate(
    scores: npt.NDArray[np.floating], same: npt.NDArray[np.bool_], false_positive_rate: float, weights: Floats
) -> float:
    """Share of pairs of one person above the threshold that this share of pairs of two passes; NaN if none.

    Args:
        weights: (m,), how much each pair of one person counts, see `patient_votes`.
    """
    if not same.any() or same.all():
        return float("nan")
    others = np.sort(scores[~same])[::-1]
    threshold = others[int(false_positive_rate * len(others))]
    return float(np.average(scores[same] > threshold, weights=weights[same]))


@dataclass(frozen=True)
class Search:
    """Leave-one-out search over images that have a partner: each share in [0, 1]; `hits` by list length."""

    queries: int
    precision_at_1: float
    hits: dict[int, float]
    map_at_r: float


def search(
    similarity: npt.NDArray[np.floating], patients: Numbers, lengths: Sequence[int] = (5, 10, 15, 20, 25, 30)
) -> Search:
    """Search each image's partners among all others.

    Average precision is taken over the first R places and divided by R, the number of the patient's other images, so
    partners that are not found count as misses. Ties keep the order of the images.

    Args:
        similarity: (n, n). patients: (n,).
    """
    precision, average = [], []
    hits: dict[int, list[bool]] = {length: [] for length in lengths}
    for query in range(len(patients)):
        relevant = patients == patients[query]
        wanted = int(relevant.sum()) - 1
        if wanted == 0:
            continue
        scores = similarity[query].astype(np.float64).copy()
        scores[query] = -np.inf
        correct = relevant[np.argsort(-scores, kind="stable")[: len(patients) - 1]]
        precision.append(bool(correct[0]))
        first = correct[:wanted]
        average.append(float((np.cumsum(first) / np.arange(1, wanted + 1) * first).sum() / wanted))
        for length in lengths:
            hits[length].append(bool(correct[:length].any()))
    return Search(
        len(precision),
        float(np.mean(precision)),
        {length: float(np.mean(found)) for length, found in hits.items()},
        float(np.mean(average)),
    )


def swaps_found(
    similarity: npt.NDArray[np.floating], patients: Numbers, views: Sequence[str], false_alarms: Sequence[float]
) -> dict[float, float]:
    """Share of images filed under another patient with priors that fall below the alarm threshold.

    An image's score is its best similarity to the priors of the patient on its label. The threshold is set so that the
    given share of rightly labelled images alarms. A swapped image takes the place of each image of the patient in turn
    (so both kinds are compared with equally many priors) and has the view of the image it replaces.

    Args:
        similarity: (n, n). patients: (n,). views: n. false_alarms: rates in (0, 1).

    Returns:
        By rate, a share in [0, 1].
    """
    view = np.unique(np.array(views), return_inverse=True)[1]
    right, wrong = [], []
    for replaced in range(len(patients)):
        priors = np.flatnonzero((patients == patients[replaced]) & (np.arange(len(patients)) != replaced))
        if not len(priors):
            continue
        best = similarity[:, priors].max(axis=1)
        right.append(float(best[replaced]))
        wrong.append(best[(patients != patients[replaced]) & (view == view[replaced])])
    alarmed = np.concatenate(wrong)
    return {rate: float((alarmed < np.quantile(right, rate)).mean()) for rate in false_alarms}


def calibration_error(
    probability: Floats, same: npt.NDArray[np.bool_], weights: Floats, bins: int = 10
) -> tuple[float, float]:
    """Expected calibration error (equal-width bins) and Brier score of weighted pairs, both in [0, 1].

    Args:
        probability: (m,). same: bool (m,). weights: (m,), ≥ 0.
    """
    weights = weights / weights.sum()
    brier = float((weights * (probability - same) ** 2).sum())
    place = np.minimum((probability * bins).astype(int), bins - 1)
    gap = np.bincount(place, weights * (probability - same), minlength=bins)
    return float(np.abs(gap).sum()), brier


def _auc_of_levels(level: npt.NDArray[np.int64], same: npt.NDArray[np.bool_], weights: Floats) -> float:
    count = int(level.max()) + 1
    positive = np.bincount(level, weights * same, minlength=count)
    negative = np.bincount(level, weights * ~same, minlength=count)
    total = positive.sum() * negative.sum()
    if total == 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + 0.5 * negative)).sum() / total)
