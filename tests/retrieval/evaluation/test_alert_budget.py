"""The alert list at a budget, on ten alerts whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retrieval.evaluation.alert_budget import NONE, RankedAlerts, found, listed, wilson


def stream(first: int = 0) -> RankedAlerts:
    """200 studies; by probability: error 0, false, error 1, near one, error 0 again; error 7 is a fact."""
    return RankedAlerts.ranked(
        200,
        np.array([0.2, 0.9, 0.8, 0.3, 0.5]),
        np.array([1, 0, 0, 0, 1]),
        np.array([first, first, NONE, NONE, first + 1]),
        np.array([False, False, False, True, False]),
        np.array([first + 7]),
    )


@pytest.mark.parametrize(
    ("per_1000", "shown", "right", "near"), [(0, 0, 0, 0), (5, 1, 1, 0), (15, 3, 2, 0), (20, 4, 2, 1), (900, 5, 3, 1)]
)
def test_the_most_probable_alerts_are_shown(per_1000: float, shown: int, right: int, near: int) -> None:
    counted = listed(stream(), per_1000)
    assert (counted.shown, counted.right, counted.near) == (shown, right, near)


def test_prices_are_for_1000_studies() -> None:
    counted = listed(stream(), 20)
    assert counted.raised_per_1000 == 20
    assert counted.false_per_1000 == 10
    assert counted.precision == 0.5


def test_of_limited_alerts_a_list_holds_its_share_and_others_take_their_place() -> None:
    kinds = np.array([1, 1, 1, 0, 0])
    alerts = RankedAlerts.ranked(
        200,
        np.array([0.9, 0.8, 0.7, 0.6, 0.5]),
        kinds,
        np.arange(5),
        np.zeros(5, np.bool_),
        np.empty(0),
        kinds == 1,
        0.25,
    )
    assert alerts.on_list(20).tolist() == [0, 3, 4]
    assert alerts.on_list(5).tolist() == [0]
    assert RankedAlerts.joined([alerts, alerts]).on_list(10).tolist() == [0, 6, 7, 8]


def test_of_a_patient_a_list_holds_the_most_probable_alert() -> None:
    alerts = RankedAlerts.ranked(
        200,
        np.array([0.5, 0.9, 0.8, 0.7, 0.6]),
        np.zeros(5, np.int64),
        np.arange(5),
        np.zeros(5, np.bool_),
        np.empty(0),
        patient=np.array([4, 3, 3, NONE, NONE]),
    )
    assert alerts.error[alerts.on_list(20)].tolist() == [1, 3, 4, 0]
    assert alerts.error[alerts.on_list(10)].tolist() == [1, 3]


def test_an_empty_list_has_no_precision() -> None:
    assert math.isnan(listed(stream(), 0).precision)


def test_alerts_of_one_kind_are_counted_alone() -> None:
    assert listed(stream(), 900, [1]).shown == 2
    assert listed(stream(), 15, [1]).right == 1


@pytest.mark.parametrize(("per_1000", "seen"), [(0, 1), (5, 2), (15, 3), (900, 3)])
def test_an_error_is_found_once_however_often_it_is_reported_and_facts_always(per_1000: float, seen: int) -> None:
    got = found(stream(), np.array([0, 1, 2, 7]), per_1000)
    assert (got.planted, got.found, got.missed) == (4, seen, 4 - seen)
    assert got.low < got.share < got.high


def test_nothing_planted_is_no_share() -> None:
    got = found(stream(), np.empty(0, np.int64), 20)
    assert got.planted == 0
    assert math.isnan(got.share) and math.isnan(got.low)


def test_streams_are_joined_into_one_list() -> None:
    both = RankedAlerts.joined([stream(), stream(100)])
    assert both.studies == 400
    assert listed(both, 5).right == 2
    assert found(both, np.array([0, 100]), 5).found == 2
    assert found(both, np.array([0, 100]), 2.5).found == 1
    assert np.all(np.diff(both.expected) <= 0)


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I: 81 of 263.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == pytest.approx(1.0)
