from __future__ import annotations

import math

import numpy as np
import pytest

from retrieval.evaluation.bootstrap import interval, patient_draws, repeated, weighted_mean


def test_every_draw_has_as_many_patients_as_there_are_and_is_the_same_again() -> None:
    draws = patient_draws(30, 50, seed=3)
    assert draws.shape == (50, 30)
    assert (draws.sum(axis=1) == 30).all()
    assert (draws == patient_draws(30, 50, seed=3)).all()
    assert (draws != patient_draws(30, 50, seed=4)).any()


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Means of 40 patients with 3 images each, which share most of their value: 95 % of the intervals hold 0."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 3)
    covered, naive = [], []
    for seed in range(150):
        values = rng.normal(0, 1, 40)[patients] + rng.normal(0, 0.2, 120)
        draws = patient_draws(40, 150, seed)
        found = interval(repeated(lambda t, v=values: (weighted_mean(v, patients, t),), draws)[:, 0])
        covered.append(found.low <= 0 <= found.high)
        half = 1.96 * values.std() / np.sqrt(120)
        naive.append(abs(values.mean()) <= half)
    assert 0.88 <= np.mean(covered) <= 0.99
    assert np.mean(naive) < 0.85  # images counted as if each were a patient: too narrow


def test_undefined_draws_are_left_out() -> None:
    found = interval(np.array([np.nan, 1.0, 1.0]))
    assert (found.low, found.high) == (1.0, 1.0)
    assert math.isnan(interval(np.array([np.nan])).low)


def test_a_weighted_mean_counts_each_value_as_often_as_its_patient() -> None:
    values, patients = np.array([1.0, 2.0, 6.0]), np.array([0, 0, 1])
    assert weighted_mean(values, patients, np.array([1.0, 2.0])) == pytest.approx((1 + 2 + 12) / 4)
    assert math.isnan(weighted_mean(values, patients, np.zeros(2)))
