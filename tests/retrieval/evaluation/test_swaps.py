from __future__ import annotations

import math

import numpy as np
import pytest

from retrieval.evaluation.swaps import Swaps

RATES = (0.01, 0.05)


def found(similarity: np.ndarray, patients: np.ndarray, strata: object = None, times: object = None) -> tuple:
    strata = np.zeros(len(patients), dtype=int) if strata is None else np.asarray(strata)
    return Swaps(similarity, patients, strata).found(RATES, times)


def test_swaps_are_found_when_people_are_told_apart_and_not_when_they_are_not() -> None:
    patients = np.repeat(np.arange(10), 3)
    apart = (patients[:, None] == patients[None, :]).astype(float)
    assert found(apart, patients) == (1.0, 1.0)
    assert found(np.ones((30, 30)), patients) == (0.0, 0.0)


def test_swaps_are_only_tried_within_a_stratum() -> None:
    """Patients 0 and 1 look alike to this similarity, but 1 was taken in another view: only 2 is swapped with 0."""
    patients = np.array([0, 0, 1, 1, 2, 2])
    similarity = np.array([[1.0 if {a, b} <= {0, 1} or a == b else 0.0 for b in patients] for a in patients])
    assert found(similarity, patients)[1] < 1.0
    assert found(similarity, patients, [0, 0, 1, 1, 0, 0])[1] == 1.0


def test_shares_agree_with_the_definition_written_out() -> None:
    rng = np.random.default_rng(1)
    patients = rng.integers(6, size=25)
    noise = rng.random((25, 25))
    similarity = noise + noise.T + (patients[:, None] == patients[None, :])
    right, wrong = [], []
    for replaced in range(25):
        priors = [i for i in range(25) if patients[i] == patients[replaced] and i != replaced]
        if priors:
            right.append(max(similarity[replaced, i] for i in priors))
            wrong += [max(similarity[s, i] for i in priors) for s in range(25) if patients[s] != patients[replaced]]
    expected = [np.mean(np.array(wrong) < np.quantile(right, rate)) for rate in RATES]
    assert found(similarity, patients) == pytest.approx(expected)


def test_a_patient_drawn_twice_counts_like_two() -> None:
    """Drawing everybody twice changes no share of swaps, for every pair of patients then counts four times."""
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(8), 3)
    similarity = rng.random((24, 24)) + (patients[:, None] == patients[None, :])
    swaps = Swaps(similarity, patients, np.zeros(24, dtype=int))
    once, again = swaps.found((0.5,)), swaps.found((0.5,), np.ones(8))
    assert again == once
    left_out = np.array([0, 1, 1, 1, 1, 1, 1, 1], dtype=float)
    keep = patients > 0
    fewer = Swaps(similarity[np.ix_(keep, keep)], patients[keep], np.zeros(21, dtype=int))
    assert swaps.found((0.5,), left_out) == pytest.approx(fewer.found((0.5,)))


def test_without_priors_nothing_can_be_swapped() -> None:
    assert all(math.isnan(value) for value in found(np.eye(3), np.arange(3)))
