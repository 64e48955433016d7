from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from retrieval.errors import CalibrationInvalid
from retrieval.evaluation.metrics import calibration_error
from retrieval.evaluation.pairs import Pairs
from retrieval.training.calibrate import fit_calibration


def pairs(positives: int, negatives: int, seed: int = 0, useful_code: bool = True) -> Pairs:
    """Cosines normal around 0.6 or 0.1 with deviation 0.2: the true log likelihood ratio is 12.5·c − 4.375."""
    rng = np.random.default_rng(seed)
    same = np.arange(positives + negatives) < positives
    cosine = rng.normal(np.where(same, 0.6, 0.1), 0.2)
    hamming = rng.binomial(64, np.where(same & useful_code, 0.3, 0.4))
    first = np.arange(positives + negatives) % max(positives // 2, 1)
    return Pairs(same, cosine.astype(np.float32), hamming, first, first + 1)


def test_fit_recovers_the_true_ratio() -> None:
    found = fit_calibration({"adults": pairs(4000, 8000, useful_code=False)}, {"adults": 1.0}, "m", 64)
    ratio = found.log_likelihood_ratio(np.array([0.35, 0.6], dtype=np.float32), np.full(2, 25))
    assert np.allclose(ratio, [0.0, 3.125], atol=0.35)


def test_fit_is_honest_on_pairs_it_has_not_seen() -> None:
    found = fit_calibration({"adults": pairs(1000, 8000)}, {"adults": 1.0}, "m", 64)
    fresh = pairs(1000, 8000, seed=1)
    probability = found.probability(fresh.cosine, fresh.hamming)
    weights = np.where(fresh.same, 0.5 / 1000, 0.5 / 8000)
    assert calibration_error(probability, fresh.same, weights)[0] < 0.05


def test_claims_stay_within_what_the_data_supports() -> None:
    found = fit_calibration({"adults": pairs(40, 300)}, {"adults": 1.0}, "m", 64)
    assert found.highest == pytest.approx(math.log(300))
    assert found.lowest == pytest.approx(-math.log(found.fitted_on["adults"]["patients_with_pairs"]))


def test_a_feature_that_points_the_wrong_way_is_dropped() -> None:
    """Codes that agree more between different people must not end up speaking for identity."""
    good = pairs(500, 2000, useful_code=False)
    backwards = Pairs(
        good.same, good.cosine, 10 + 30 * good.same.astype(np.int64), good.first_patient, good.second_patient
    )
    found = fit_calibration({"adults": backwards}, {"adults": 1.0}, "m", 64)
    assert found.hamming == 0.0
    assert found.cosine > 0


def test_verification_is_counted_for_what_it_adds() -> None:
    """A logit that knows who it is takes the weight; one that says the contrary gets none."""
    plain = pairs(500, 2000)
    rng = np.random.default_rng(1)
    knows = np.where(plain.same, 3, -3) + rng.normal(size=len(plain.same))
    found = fit_calibration({"adults": replace(plain, verification=knows.astype(np.float32))}, {"adults": 1.0}, "m", 64)
    assert found.verification > 1
    lies = replace(plain, verification=-knows.astype(np.float32))
    assert fit_calibration({"adults": lies}, {"adults": 1.0}, "m", 64).verification == 0.0
    assert fit_calibration({"adults": plain}, {"adults": 1.0}, "m", 64).verification == 0.0


def test_similarities_that_all_speak_against_identity_are_refused() -> None:
    good = pairs(500, 2000, useful_code=False)
    wrong = replace(good, cosine=-good.cosine, hamming=10 + 30 * good.same.astype(np.int64))
    with pytest.raises(CalibrationInvalid, match="cannot be calibrated"):
        fit_calibration({"adults": wrong}, {"adults": 1.0}, "m", 64)


def test_a_few_patients_give_a_cautious_calibration() -> None:
    found = fit_calibration({"adults": pairs(4, 6)}, {"adults": 1.0}, "m", 64)
    assert found.lowest == pytest.approx(-math.log(2)) and found.highest == pytest.approx(math.log(6))
    assert np.isfinite([found.intercept, found.cosine, found.hamming]).all()


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(CalibrationInvalid, match="two patients"):
        fit_calibration({"adults": pairs(1, 10)}, {"adults": 1.0}, "m", 64)
