from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from retrieval.evaluation.metrics import (
    auc_interval,
    calibration_error,
    patient_votes,
    search,
    swaps_found,
    true_positive_rate,
    weighted_auc,
)


def test_auc_counts_ties_half() -> None:
    assert weighted_auc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])) == 3.5 / 4


def test_auc_agrees_with_scikit_learn_weights_and_ties_included() -> None:
    rng = np.random.default_rng(0)
    scores, same, weights = rng.integers(0, 20, 500) / 20, rng.random(500) < 0.3, rng.random(500)
    assert weighted_auc(scores, same, weights) == pytest.approx(roc_auc_score(same, scores, sample_weight=weights))


def test_auc_of_one_kind_only_is_not_a_number() -> None:
    assert math.isnan(weighted_auc(np.array([0.1, 0.2]), np.array([True, True])))


def test_interval_widens_when_one_patient_supplies_the_pairs() -> None:
    rng = np.random.default_rng(0)
    same = np.repeat([True, False], 200)
    scores = np.where(same, 0.6, 0.4) + rng.normal(0, 0.2, 400)
    many = np.arange(400) % 100
    few = np.arange(400) % 4
    scores = scores + np.where(few == 0, 0.3, 0.0) * same
    narrow = auc_interval(scores, same, (many, many), rounds=100)
    wide = auc_interval(scores, same, (few, few), rounds=100)
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    assert narrow[0] < weighted_auc(scores, same) < narrow[1]


def test_every_patient_has_one_vote_however_many_pairs_it_supplies() -> None:
    # Patient 0 supplies three pairs of one person, patient 1 one; the last pair is of two persons.
    same = np.array([True, True, True, True, False])
    votes = patient_votes(same, np.array([0, 0, 0, 1, 0]))
    assert votes.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0, 1.0])
    # Patient 0's pairs score below the pair of two persons, patient 1's above: half of the patients.
    scores = np.array([0.1, 0.1, 0.1, 0.9, 0.5])
    assert weighted_auc(scores, same, votes) == pytest.approx(0.5)
    assert weighted_auc(scores, same) == pytest.approx(0.25)


def test_true_positive_rate_at_a_rate_of_false_ones() -> None:
    others = np.arange(100) / 100
    scores = np.concatenate([others, [0.985, 0.975, 0.995]])
    same = np.arange(103) >= 100
    assert true_positive_rate(scores, same, 0.01, np.ones(len(scores))) == pytest.approx(2 / 3)


def test_search_divides_by_all_that_is_relevant() -> None:
    """Query 0 has partners 1 and 2, ranked first and third: AP@2 = (1/1) / 2; the lone image 3 asks nothing."""
    patients = np.array([0, 0, 0, 1])
    similarity = np.zeros((4, 4))
    similarity[0] = [9, 0.9, 0.1, 0.5]
    similarity[1] = [0.9, 9, 0.8, 0.1]
    similarity[2] = [0.1, 0.2, 9, 0.9]
    found = search(similarity, patients, (1, 2, 3))
    assert found.queries == 3
    assert found.precision_at_1 == pytest.approx(2 / 3)
    assert found.map_at_r == pytest.approx((0.5 + 1.0 + (1 / 2) / 2) / 3)
    assert found.hits == {1: pytest.approx(2 / 3), 2: 1.0, 3: 1.0}


def test_images_never_find_themselves() -> None:
    similarity = np.eye(4)
    similarity[[0, 1, 2, 3], [1, 0, 3, 2]] = 0.5
    assert search(similarity, np.array([0, 1, 0, 1])).precision_at_1 == 0.0


def test_swaps_are_found_when_people_are_told_apart_and_not_when_they_are_not() -> None:
    patients = np.repeat(np.arange(10), 3)
    apart = (patients[:, None] == patients[None, :]).astype(float)
    views = [""] * 30
    assert swaps_found(apart, patients, views, (0.01, 0.05)) == {0.01: 1.0, 0.05: 1.0}
    assert swaps_found(np.ones((30, 30)), patients, views, (0.05,)) == {0.05: 0.0}


def test_swaps_are_only_tried_within_a_view() -> None:
    """Patients 0 and 1 look alike to this similarity, but 1 was taken in another view: only 2 is swapped with 0."""
    patients = np.array([0, 0, 1, 1, 2, 2])
    similarity = np.array([[1.0 if {a, b} <= {0, 1} or a == b else 0.0 for b in patients] for a in patients])
    alike = swaps_found(similarity, patients, [""] * 6, (0.05,))[0.05]
    by_view = swaps_found(similarity, patients, ["PA", "PA", "AP", "AP", "PA", "PA"], (0.05,))[0.05]
    assert alike < 1.0
    assert by_view == 1.0


def test_calibration_error_is_zero_for_honest_probabilities_and_the_gap_for_others() -> None:
    same = np.array([True, True, True, False])
    error, brier = calibration_error(np.full(4, 0.75), same, np.ones(4))
    assert error == pytest.approx(0.0)
    assert brier == pytest.approx(0.75 * 0.0625 + 0.25 * 0.5625)
    assert calibration_error(np.full(4, 0.35), same, np.ones(4))[0] == pytest.approx(0.4)
