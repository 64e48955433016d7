"""One method on one dataset: every figure that is reported, computed the same way for all methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.codes import hamming, identity_half
from retrieval.evaluation.metrics import (
    auc_interval,
    patient_votes,
    search,
    swaps_found,
    true_positive_rate,
    weighted_auc,
)
from retrieval.evaluation.pairs import fair_pairs, patient_numbers


@dataclass(frozen=True)
class Figures:
    """One row of the table; rates in [0, 1], the interval is 95 % over patients.

    AUC and true positive rates give every patient one vote, `auc_by_pair` every pair: there, a patient with many images
    has many votes.
    """

    dataset: str
    method: str
    images: int
    patients: int
    queries: int
    auc: float
    auc_low: float
    auc_high: float
    auc_by_pair: float
    tpr_at_fpr_1e2: float
    tpr_at_fpr_1e3: float
    precision_at_1: float
    hit_at_5: float
    hit_at_10: float
    hit_at_15: float
    hit_at_20: float
    hit_at_25: float
    hit_at_30: float
    map_at_r: float
    swaps_at_fa_1: float
    swaps_at_fa_5: float


def evaluate(
    dataset: str,
    method: str,
    similarity: npt.NDArray[np.floating],
    patients: Sequence[str],
    views: Sequence[str],
) -> Figures:
    """Compute all figures of one method on one dataset.

    Args:
        dataset, method: names for the table.
        similarity: (n, n), higher is more alike; the diagonal is not looked at.
        patients, views: n each; different people are compared only in the same view.
    """
    numbers = patient_numbers(patients)
    first, second = fair_pairs(numbers, views)
    scores, same = similarity[first, second], numbers[first] == numbers[second]
    votes = patient_votes(same, numbers[first])
    low, high = auc_interval(scores, same, (numbers[first], numbers[second]))
    found = search(similarity, numbers)
    swaps = swaps_found(similarity, numbers, views, (0.01, 0.05))
    return Figures(
        dataset=dataset,
        method=method,
        images=len(numbers),
        patients=int(numbers.max()) + 1,
        queries=found.queries,
        auc=weighted_auc(scores, same, votes),
        auc_low=low,
        auc_high=high,
        auc_by_pair=weighted_auc(scores, same),
        tpr_at_fpr_1e2=true_positive_rate(scores, same, 1e-2, votes),
        tpr_at_fpr_1e3=true_positive_rate(scores, same, 1e-3, votes),
        precision_at_1=found.precision_at_1,
        **{f"hit_at_{length}": share for length, share in found.hits.items()},
        map_at_r=found.map_at_r,
        swaps_at_fa_1=swaps[0.01],
        swaps_at_fa_5=swaps[0.05],
    )


def code_similarity(code: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Similarity of identity halves: minus their Hamming distance, float32 (n, n), of codes uint8 (n, bits/8)."""
    half = identity_half(code)
    return np.stack([-hamming(row, half) for row in half]).astype(np.float32)
