from __future__ import annotations

import numpy as np
import pytest

from retrieval.evaluation.metrics import calibration_error, patient_votes, reliability


def test_votes_share_one_among_the_pairs_of_a_patient() -> None:
    same = np.array([True, True, True, True, False])
    votes = patient_votes(same, np.array([0, 0, 0, 1, 0]))
    assert votes.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0, 1.0])


def test_calibration_error_is_zero_for_honest_probabilities_and_the_gap_for_others() -> None:
    same = np.array([True, True, True, False])
    error, brier = calibration_error(np.full(4, 0.75), same, np.ones(4))
    assert error == pytest.approx(0.0)
    assert brier == pytest.approx(0.75 * 0.0625 + 0.25 * 0.5625)
    assert calibration_error(np.full(4, 0.35), same, np.ones(4))[0] == pytest.approx(0.4)


def test_each_bin_holds_what_was_said_what_was_true_and_how_many() -> None:
    found = reliability(
        np.array([0.1, 0.3, 0.9, 1.0]), np.array([False, True, True, True]), np.array([1, 1, 1, 1.0]), 2
    )
    assert found.said.tolist() == pytest.approx([0.2, 0.95])
    assert found.true.tolist() == pytest.approx([0.5, 1.0])
    assert found.weight.tolist() == pytest.approx([0.5, 0.5])
    assert (found.same.tolist(), found.different.tolist()) == ([1, 2], [1, 0])
    assert np.isnan(reliability(np.array([0.9]), np.array([True]), np.ones(1), 2).said[0])
