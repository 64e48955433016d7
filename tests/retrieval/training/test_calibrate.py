from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from retrieval.calibration import Calibration, probability
from retrieval.errors import CalibrationInvalid
from retrieval.evaluation.metrics import calibration_error
from retrieval.evaluation.pairs import Pairs
from retrieval.normalisation import Population
from retrieval.training.calibrate import even_odds, fit_calibration, folds_of

POPULATION = Population(0.0, 0.1)


def pairs(positives: int, negatives: int, seed: int = 0, useful_code: bool = True) -> Pairs:
    """Scores normal around 4 or 0 with deviation 1: the true log likelihood ratio is 4·s − 8."""
    rng = np.random.default_rng(seed)
    same = np.arange(positives + negatives) < positives
    score = rng.normal(np.where(same, 4.0, 0.0), 1.0)
    hamming = rng.binomial(64, np.where(same & useful_code, 0.3, 0.4))
    first = np.arange(positives + negatives) % max(positives // 2, 1)
    second = np.where(same, first, first + 1 + np.arange(positives + negatives) % 7)
    return Pairs(same, (score / 10).astype(np.float32), hamming, first, second, None, score)


def fit(found: Pairs) -> Calibration:
    return fit_calibration({"adults": found}, {"adults": 1.0}, "m", 64, POPULATION)


def ratios(model: Calibration, found: Pairs) -> np.ndarray:
    return model.log_likelihood_ratio(model.score(found.likeness, found.hamming, found.verification))


def test_fit_recovers_the_true_ratio() -> None:
    found = fit(pairs(4000, 8000, useful_code=False))
    ratio = found.log_likelihood_ratio(found.score(np.array([2.0, 2.5]), np.full(2, 25)))
    assert np.allclose(ratio, [0.0, 2.0], atol=0.35)


def test_fit_is_honest_on_pairs_it_has_not_seen() -> None:
    found = fit(pairs(1000, 8000))
    fresh = pairs(1000, 8000, seed=1)
    weights = np.where(fresh.same, 0.5 / 1000, 0.5 / 8000)
    assert calibration_error(probability(ratios(found, fresh)), fresh.same, weights)[0] < 0.05


def test_claims_stay_within_what_the_data_supports() -> None:
    """Against identity no more than one in all patients; in favour no more than both tails bear out."""
    plain = pairs(40, 300)
    found = fit(plain)
    assert found.log_ratios[0] == pytest.approx(-math.log(found.fitted_on["adults"]["patients_with_pairs"]))
    own = found.score(plain.likeness, plain.hamming)[plain.same]
    scores, said = np.array(found.scores), np.array(found.log_ratios)
    # Each of the 20 patients has two pairs of one person. A pair more alike than all of these counts as one of them.
    alike = np.maximum((own[:, None] >= scores).mean(axis=0), 1 / len(own))
    borne_out = np.log(alike) - np.log(found.tail.share_above(scores))
    # The curve never falls, so what it said of less alike pairs may stand above what a score itself bears out.
    assert (said <= np.maximum(np.maximum.accumulate(borne_out), said[0]) + 1e-9).all()
    assert said[-1] < -math.log(found.tail.share_above(scores[-1:])[0]) - 0.5


def test_the_tail_holds_on_strangers_it_was_not_fitted_on() -> None:
    found = fit(pairs(400, 8000))
    fresh = pairs(2, 200_000, seed=2)
    scores = found.score(fresh.likeness, fresh.hamming)[~fresh.same]
    for share in (1e-2, 1e-3):
        said = found.tail.share_above(np.quantile(scores, [1 - share]))[0]
        assert share / 3 < said < 3 * share


def mixture(positives: int, negatives: int, seed: int = 0) -> Pairs:
    """Pairs of one person come in two kinds, around 1 and around 5: no straight line says how likely they are."""
    plain = pairs(positives, negatives, seed, useful_code=False)
    rng = np.random.default_rng(seed)
    own = rng.choice([1, 5], len(plain.same))
    return replace(plain, normalised=np.where(plain.same, own, 0) + rng.normal(0, 1, len(plain.same)))


def test_the_curve_bends_where_the_pairs_do() -> None:
    """Own pairs lie evenly from 1 to 3, strangers' evenly up to 0.5 or up to 2.5: below 1 there is no own pair, between
    1 and 2.5 the ratio is always 5/3, and above there is no stranger. A straight line says -2.5 at 0.3 and rises by 2.3
    from 1.2 to 2.2."""
    plain, rng = pairs(4000, 8000, useful_code=False), np.random.default_rng(0)
    strangers = rng.choice([0.5, 2.5], 12_000) * rng.uniform(0, 1, 12_000)
    found = fit(replace(plain, normalised=np.where(plain.same, rng.uniform(1, 3, 12_000), strangers)))
    said = found.log_likelihood_ratio(found.score(np.array([0.3, 1.2, 2.2, 2.7]), np.full(4, 25)))
    assert said[0] < -4 and said[3] > 3.5
    assert said[2] - said[1] < 1.6


def test_the_curve_rises_without_leaps() -> None:
    """With many patients and with few, of whom an isotonic curve makes few steps and leaps by 1.6 at one of them."""
    for found in (fit(mixture(4000, 8000)), fit(mixture(60, 600))):
        scores = np.array(found.scores)
        own = found.score(np.array([-1.0, 3.0]), np.full(2, 25))
        inside = (scores > own[0]) & (scores < own[1])
        assert inside.sum() > 10
        rises = np.diff(np.array(found.log_ratios)[inside])
        assert rises.min() > 0 and rises.max() < 0.5


def test_a_feature_that_points_the_wrong_way_is_dropped() -> None:
    """Codes that agree more between different people must not end up speaking for identity."""
    good = pairs(500, 2000, useful_code=False)
    found = fit(replace(good, hamming=10 + 30 * good.same.astype(np.int64)))
    assert found.fusion.hamming == 0.0
    assert found.fusion.cosine > 0


def test_verification_is_counted_for_what_it_adds() -> None:
    """A logit that knows who it is takes the weight; one that says the contrary gets none."""
    plain = pairs(500, 2000)
    rng = np.random.default_rng(1)
    knows = (np.where(plain.same, 3, -3) + rng.normal(size=len(plain.same))).astype(np.float32)
    assert fit(replace(plain, verification=knows)).fusion.verification > 1
    assert fit(replace(plain, verification=-knows)).fusion.verification == 0.0
    assert fit(plain).fusion.verification == 0.0


def test_similarities_that_all_speak_against_identity_are_refused() -> None:
    good = pairs(500, 2000, useful_code=False)
    wrong = replace(good, normalised=-good.likeness, hamming=10 + 30 * good.same.astype(np.int64))
    with pytest.raises(CalibrationInvalid, match="cannot be calibrated"):
        fit(wrong)


def test_a_few_patients_give_a_cautious_calibration() -> None:
    found = fit(pairs(4, 30))
    assert found.log_ratios[0] == pytest.approx(-math.log(2))
    assert np.isfinite(found.log_ratios).all()


@pytest.mark.parametrize(("positives", "negatives", "said"), [(1, 30, "two patients"), (4, 10, "20 pairs")])
def test_too_few_patients_are_refused(positives: int, negatives: int, said: str) -> None:
    with pytest.raises(CalibrationInvalid, match=said):
        fit(pairs(positives, negatives))


def test_pairs_that_were_not_normalised_are_refused() -> None:
    with pytest.raises(CalibrationInvalid, match="not normalised"):
        fit(replace(pairs(40, 300), normalised=None))


def test_every_patient_and_every_two_patients_count_the_same() -> None:
    same = np.array([True, True, True, False, False, False])
    first, second = np.array([0, 0, 1, 0, 1, 0]), np.array([0, 0, 1, 1, 0, 2])
    weights = even_odds(Pairs(same, np.zeros(6, np.float32), np.zeros(6, np.int64), first, second))
    assert weights.tolist() == [0.125, 0.125, 0.25, 0.125, 0.125, 0.25]


def test_parts_share_no_patient_and_deal_out_those_with_several_images() -> None:
    found = pairs(40, 300)
    part = folds_of(found)
    of_patient = {}
    for side, patients in ((0, found.first_patient), (1, found.second_patient)):
        for patient, fold in zip(patients.tolist(), part[:, side].tolist(), strict=True):
            assert of_patient.setdefault(patient, fold) == fold
    several = [of_patient[patient] for patient in np.unique(found.first_patient[found.same]).tolist()]
    assert set(several) == {0, 1, 2, 3, 4}
