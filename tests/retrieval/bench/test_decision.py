from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from retrieval.bench.decision import accuracy, best_threshold, decide
from retrieval.data.manifest import ImageRow, Split
from retrieval.evaluation.cohort import Cohort, cohorts


def cohort(patients: str) -> Cohort:
    rows = [ImageRow(Path(), str(i), "toy", f"toy:{name}", Split.TEST, "", "PA") for i, name in enumerate(patients)]
    return cohorts(rows)[0]


def test_the_best_threshold_and_its_accuracy_by_hand() -> None:
    """Above 0.45 lie 2 of 3 pairs of one person and 1 of 4 of two: (2/3 + 3/4) / 2 are right, none is better."""
    scores = np.array([0.2, 0.5, 0.9, 0.1, 0.3, 0.4, 0.8])
    same = np.array([True, True, True, False, False, False, False])
    assert best_threshold(scores, same) == pytest.approx(0.45)
    assert accuracy(scores, same, 0.45) == pytest.approx((2 / 3 + 3 / 4) / 2)


def test_the_best_threshold_is_never_worse_than_any_other() -> None:
    rng = np.random.default_rng(0)
    scores, same = rng.integers(0, 9, 60).astype(np.float64), rng.random(60) < 0.3
    found = accuracy(scores, same, best_threshold(scores, same))
    assert found == max(accuracy(scores, same, cut) for cut in np.arange(-1, 10, 0.25))


def test_thresholds_are_learned_from_other_patients_than_they_are_tried_on() -> None:
    """Two patients are told apart from 0.5 on, two from 5 on: the threshold of either half is wrong for the other."""
    mine = cohort("aabbccdd")
    similarity = np.full((8, 8), -9.0)
    halves = {}
    for scale in (1.0, 10.0):
        similarity[:4, :4], similarity[4:, 4:] = 0.0, 0.0
        for i, value in ((0, 1.0), (2, 1.0), (4, scale), (6, scale)):
            similarity[i, i + 1] = similarity[i + 1, i] = value
        halves[scale] = decide(similarity, mine)
    assert halves[1.0].midpoint_accuracy == 1
    assert halves[1.0].same_mean == 1
    assert halves[10.0].same_mean == pytest.approx(5.5)


def test_without_a_kind_of_pairs_nothing_is_decided() -> None:
    found = decide(np.eye(4), cohort("abcd"))
    assert math.isnan(found.same_mean)
    assert math.isnan(found.midpoint_accuracy)
