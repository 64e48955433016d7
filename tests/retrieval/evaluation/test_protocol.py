from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrieval.evaluation.methods import Method
from retrieval.evaluation.protocol import CURVE_RATES, evaluate

Made = Callable[..., Any]


def test_perfect_recognition_gets_perfect_figures(cohort: Made) -> None:
    patients = [f"p{i // 3:02}" for i in range(60)]
    similarity = np.array([[float(a == b) for b in patients] for a in patients])
    figures, curves = evaluate("oracle", similarity, cohort(patients), rounds=20)
    assert (figures.auc, figures.precision_at_1, figures.map_at_r, figures.swaps_at_fa_1) == (1.0, 1.0, 1.0, 1.0)
    assert (figures.tpr_at_fpr_1e2, figures.eer, figures.precision_at_1_by_patient) == (1.0, 0.0, 1.0)
    assert (figures.auc_low, figures.swaps_at_fa_5_low) == (1.0, 1.0)
    assert (figures.images, figures.patients, figures.queries, figures.same_pairs) == (60, 20, 60, 60)
    assert np.isnan(figures.tpr_at_fpr_1e3)
    assert curves.hits.tolist() == [1.0] * 30
    assert np.nanmin(curves.true_positive_rate) == 1.0
    assert np.isnan(curves.true_positive_rate[1 / figures.different_pairs > CURVE_RATES]).all()


def test_chance_gets_the_figures_of_chance(cohort: Made) -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{i // 2:02}" for i in range(120)]
    noise = rng.random((120, 120))
    figures, _ = evaluate("chance", noise + noise.T, cohort(patients), rounds=100)
    assert 0.35 < figures.auc < 0.65
    assert figures.auc_low < figures.auc < figures.auc_high
    assert figures.precision_at_1 < 0.1
    assert figures.precision_at_1_low <= figures.precision_at_1 <= figures.precision_at_1_high
    assert figures.swaps_at_fa_5_low <= figures.swaps_at_fa_5 <= figures.swaps_at_fa_5_high
    assert 0.35 < figures.eer < 0.65


def test_a_score_that_is_only_sex_and_age_falls_to_chance_when_these_are_matched(cohort: Made) -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{i // 2:02}" for i in range(160)]
    ages = rng.integers(20, 80, 80).repeat(2).astype(float)
    sexes = rng.choice(["F", "M"], 80).repeat(2)
    score = -np.abs(ages[:, None] - ages[None, :]) - 100.0 * (sexes[:, None] != sexes[None, :])
    score = np.round(score / 7)  # so coarse that people of like age tie with each other
    figures, _ = evaluate("age and sex", score, cohort(patients, sex=sexes, age=ages), rounds=20)
    assert figures.auc > 0.9
    assert figures.auc_matched < 0.75
    assert figures.matched_same_pairs == figures.same_pairs
    assert 0 < figures.matched_different_pairs < figures.different_pairs / 5


def test_patients_without_partners_leave_figures_open_instead_of_failing(cohort: Made) -> None:
    figures, curves = evaluate("m", np.eye(4), cohort(list("abcd")), rounds=20)
    assert np.isnan([figures.auc, figures.eer, figures.precision_at_1, figures.swaps_at_fa_5]).all()
    assert len(curves.true_positive_rate) == 0


def test_codes_are_compared_by_hamming_distance_and_vectors_by_cosine() -> None:
    everyone = np.arange(2)
    code = Method("code", np.array([[0xFF], [0xFE]], dtype=np.uint8))
    assert code.similarity(everyone).tolist() == [[0, -1], [-1, 0]]
    assert code.scores(np.array([0]), np.array([1])).tolist() == [-1]
    vector = Method("vector", np.array([[1, 0], [0.6, 0.8]], dtype=np.float32))
    assert vector.similarity(everyone)[0, 1] == pytest.approx(0.6)
    assert vector.scores(np.array([0]), np.array([1]))[0] == pytest.approx(0.6)
