from __future__ import annotations

import math

import numpy as np
import pytest

from retrieval.errors import EvidenceInvalid
from retrieval.headers import Header, Headers, log_ratio

BIRTHDAYS = 60 * 365.25


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Header("F", "19700131"), Header("F", "19700131"), math.log(0.98 / 0.5) + math.log(0.98 * BIRTHDAYS)),
        (Header("F"), Header("M"), math.log(0.02 / 0.5)),
        (Header("", "19700131"), Header("", "19710131"), math.log(0.02 / (1 - 1 / BIRTHDAYS))),
        (Header(), Header("F", "19700131"), 0.0),
        (Header("O"), Header("F"), 0.0),
    ],
)
def test_weights_by_hand_and_a_missing_entry_says_nothing(one: Header, other: Header, expected: float) -> None:
    assert log_ratio(one, other, 0.02) == pytest.approx(expected)
    assert log_ratio(other, one, 0.02) == pytest.approx(expected)


def test_records_are_compared_by_number_and_an_unknown_one_says_nothing() -> None:
    one, other = Header("F", "19700131"), Header("M", "19700131")
    headers = Headers({1: one, 2: other, 3: one}, 0.05)
    assert headers.log_ratio(1, 2) == log_ratio(one, other, 0.05)
    assert headers.log_ratio(1, 3) == headers.highest > headers.log_ratio(1, 2)
    assert headers.log_ratio(1, -7) == 0.0


def test_many_pairs_at_once_are_as_each_alone() -> None:
    entries = [Header(sex, date) for sex in ("", "F", "M", "O") for date in ("", "19700131", "19710131")]
    headers = Headers(dict(enumerate(entries, start=5)), 0.03)
    ones, others = (side.ravel() for side in np.meshgrid(np.arange(-2, 20), np.arange(-2, 20)))
    alone = [headers.log_ratio(*pair) for pair in zip(ones.tolist(), others.tolist(), strict=True)]
    assert headers.log_ratios(ones, others) == pytest.approx(alone)
    assert Headers().log_ratios(np.array([1]), np.array([2])).tolist() == [0.0]


@pytest.mark.parametrize("rate", [0.0, 0.5, math.nan])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(EvidenceInvalid):
        log_ratio(Header(), Header(), rate)
