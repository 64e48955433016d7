from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score, roc_curve

from retrieval.evaluation.verification import Operating, RankedPairs, measurable, rates


def ranked(scores: object, same: object, first: object = None, second: object = None) -> RankedPairs:
    scores, same = np.asarray(scores, dtype=float), np.asarray(same, dtype=bool)
    numbers = np.arange(len(scores))
    first = numbers if first is None else np.asarray(first)
    second = np.where(same, first, numbers + len(scores)) if second is None else np.asarray(second)
    return RankedPairs(scores, same, (first, second))


def drawn(seed: int, ties: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of 12 patients with tied scores: scores, same, first and second patient."""
    rng = np.random.default_rng(seed)
    same = rng.random(300) < 0.3
    first = rng.integers(12, size=300)
    second = np.where(same, first, (first + 1 + rng.integers(11, size=300)) % 12)
    return rng.integers(ties, size=300) / ties + 0.2 * same, same, first, second


def test_auc_counts_ties_half() -> None:
    assert ranked([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]).operating().auc() == 3.5 / 4


def test_figures_of_one_kind_of_pairs_are_not_numbers() -> None:
    operating = ranked([0.1, 0.2], [1, 1]).operating()
    assert math.isnan(operating.auc())
    assert math.isnan(operating.true_positive_rate(0.5))
    assert math.isnan(operating.equal_error_rate())
    assert len(operating.curve(np.array([0.1]))) == 0


def test_every_patient_has_one_vote_however_many_pairs_it_supplies() -> None:
    # Patient 0 supplies three pairs of one person, all below the pair of two; patient 1 one, above it.
    found = ranked([0.1, 0.1, 0.1, 0.9, 0.5], [1, 1, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1])
    assert found.operating().auc() == pytest.approx(0.5)
    assert found.operating(votes=False).auc() == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(3))
def test_auc_and_curve_agree_with_scikit_learn_when_patients_count_several_times(seed: int) -> None:
    scores, same, first, second = drawn(seed, ties=15)
    times = np.random.default_rng(seed).integers(0, 4, 12).astype(float)
    pairs_of = np.bincount(first[same], minlength=12)
    weights = np.where(same, times[first] / np.maximum(pairs_of[first], 1), times[first] * times[second])
    operating = ranked(scores, same, first, second).operating(times)
    assert operating.auc() == pytest.approx(roc_auc_score(same, scores, sample_weight=weights))
    fpr, tpr, _ = roc_curve(same, scores, sample_weight=weights, drop_intermediate=False)
    wanted = np.array([0.003, 0.01, 0.1, 0.3, 0.77])
    at_most = [tpr[fpr <= rate].max() for rate in wanted]
    assert operating.curve(wanted) == pytest.approx(at_most)
    assert [operating.true_positive_rate(rate) for rate in wanted] == pytest.approx(at_most)


@pytest.mark.parametrize("ties", [5, 15, 10_000])
def test_equal_error_rate_is_where_the_joined_roc_points_cross(ties: int) -> None:
    scores, same, first, second = drawn(7, ties)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    crossing = brentq(lambda x: 1.0 - x - np.interp(x, fpr, tpr), 0.0, 1.0)
    found = ranked(scores, same, first, second).operating(votes=False).equal_error_rate()
    assert found == pytest.approx(crossing, abs=1e-6)


def test_equal_error_rate_of_perfect_and_of_useless_scores() -> None:
    assert ranked([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0]).operating().equal_error_rate() == pytest.approx(0.0)
    assert ranked([0.5] * 4, [1, 1, 0, 0]).operating().equal_error_rate() == pytest.approx(0.5)


def test_true_positive_rate_at_a_rate_of_false_ones() -> None:
    others = np.arange(100) / 100
    found = ranked(np.concatenate([others, [0.985, 0.975, 0.995]]), np.arange(103) >= 100)
    assert found.operating().true_positive_rate(0.01) == pytest.approx(2 / 3)


def test_a_patient_that_is_not_drawn_takes_its_pairs_along() -> None:
    found = ranked([0.1, 0.9, 0.5, 0.95], [1, 1, 0, 0], [0, 1, 1, 2], [0, 1, 2, 0])
    assert found.operating(np.array([0.0, 1.0, 1.0])).auc() == 1.0


def test_rates_too_small_for_the_number_of_pairs_are_not_reported() -> None:
    assert measurable(1e-2, 500)
    assert not measurable(1e-2, 499)
    operating = Operating(np.array([0.0]), np.array([0.0]), np.array([1.0]))
    found = rates(operating, (1e-2, 1e-4), 1000)
    assert found[0] == 1.0
    assert math.isnan(found[1])
