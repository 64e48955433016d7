"""The threshold is where the verdict begins to name somebody, and no pair that could matter lies below it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retrieval.audit.floor import ADDING_UP, best_ratio, furthest, least_cosine, least_normalised, least_ratio
from retrieval.comparison import Comparer
from retrieval.normalisation import Levels
from retrieval.verdict import CORRELATION, Evidence, Person, Rates, judge
from retrieval.verification import Verifier
from tests.calibrations import straight
from tests.people import CALIBRATION

RATES = Rates(0.0005, 0.002, 0.5)
LEAST = 0.005


def one_match(least: float) -> float:
    """What a match of a single image must reach, where several may fall short of it."""
    return max(least + ADDING_UP, least / CORRELATION)


@pytest.mark.parametrize("persons", [2, 100, 10_000])
@pytest.mark.parametrize("own", [None, -4.0])
def test_one_match_below_the_threshold_names_nobody(persons: int, own: float | None) -> None:
    least = least_ratio(RATES, LEAST, persons, -4.0, 30.0)
    assert least is not None
    ratio = max(-4.0, one_match(least))
    priors = None if own is None else Person(0, np.array([own]))
    below = Evidence(priors, (Person(1, np.array([ratio - 0.01])),), persons)
    assert judge(below, RATES, LEAST).other is None
    above = [
        Evidence(who, (Person(1, np.array([ratio + 0.01])),), persons) for who in (None, Person(0, np.array([-4.0])))
    ]
    assert any(judge(one, RATES, LEAST).other == 1 for one in above)


def test_a_larger_gallery_asks_for_more() -> None:
    found = [one_match(least_ratio(RATES, LEAST, persons, -4.0, 30.0) or 0.0) for persons in (100, 1000, 10_000)]
    assert np.diff(found) == pytest.approx([math.log(10)] * 2, abs=0.01)


def test_images_that_agree_are_not_missed_though_each_falls_short() -> None:
    least = least_ratio(RATES, LEAST, 100_000, -4.0, 30.0)
    assert least is not None
    agreeing = Evidence(Person(0, np.array([-4.0])), (Person(1, np.full(50, least)),), 100_000)
    assert judge(agreeing, RATES, LEAST).other is None
    agreeing = Evidence(Person(0, np.array([-4.0])), (Person(1, np.full(50, least + 0.3)),), 100_000)
    assert judge(agreeing, RATES, LEAST).other == 1 and least + 0.3 < one_match(least)


def test_headers_that_agree_ask_for_less() -> None:
    alone, beside = (least_ratio(RATES, LEAST, 10_000, -4.0, 30.0, said) for said in (0.0, 10.0))
    assert alone is not None and beside is not None and one_match(beside) < one_match(alone) - 9.0
    assert least_ratio(RATES, LEAST, 1_000_000, -4.0, 8.0, 10.0) is not None


def test_where_no_match_can_name_anybody_there_is_no_threshold() -> None:
    assert least_ratio(RATES, LEAST, 1_000_000, -4.0, 8.0) is None


@pytest.mark.parametrize("ratio", [-4.0, 0.0, 5.0])
def test_the_normalised_cosine_is_the_least_that_reaches_a_ratio(ratio: float) -> None:
    found = least_normalised(Comparer(CALIBRATION, None), ratio, 8.0)
    assert found == pytest.approx((ratio + 8.0) / 3.0, abs=1e-6)


def test_a_ratio_beyond_the_most_alike_images_is_never_reached() -> None:
    comparer = Comparer(CALIBRATION, None)
    assert best_ratio(comparer, 8.0) == pytest.approx(11.7)
    assert least_normalised(comparer, 11.8, 8.0) is None
    assert least_normalised(comparer, 5.0, 4.0) is None


def test_where_nothing_is_known_of_strangers_the_population_tells_the_cosine() -> None:
    comparer = Comparer(CALIBRATION, None)
    assert best_ratio(comparer) == best_ratio(comparer, 8.0)
    assert least_cosine(comparer, 5.0) == pytest.approx(13.0 / 24.0, abs=1e-6)


def test_two_equal_images_are_furthest_where_strangers_are_least_alike() -> None:
    assert furthest(Levels(np.array([0.0, 0.5]), np.array([0.25, 0.25]))) == pytest.approx(4.0)


def test_a_verification_head_counts_with_what_it_says_of_equal_images() -> None:
    verifier = Verifier(4, ((np.full((1, 4), -1.0, np.float32), np.array([3.0], np.float32)),))
    calibration = straight("m", 8, -8.0, 10.0, -4.0, -9.0, 20.0, verification=2.0)
    assert best_ratio(Comparer(calibration, verifier), 1.0) == pytest.approx(-8 + 10 + 2 * 3)
