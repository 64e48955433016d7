"""Who releases its associations never waits; whose are broken off again and again comes in slowly."""

from __future__ import annotations

import pytest

from dicom_node.pace import FREE, PAUSE_SECONDS, Pace


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def let_in_within(pace: Pace, clock: Clock, seconds: float) -> int:
    """How many connections come in that are all broken off, as soon as each may."""
    until, count = clock.now + seconds, 0
    while (wait := pace.wait("10.0.0.7")) <= until - clock.now:
        clock.now += wait
        pace.let_in("10.0.0.7")
        count += 1
    return count


def test_whose_connections_are_broken_off_comes_in_at_a_fixed_pace(clock: Clock) -> None:
    pace = Pace(clock)
    assert let_in_within(pace, clock, 10.0) == pytest.approx(FREE + 10.0 / PAUSE_SECONDS, abs=1)
    assert pace.wait("10.0.0.8") == 0.0, "another one does not wait"


def test_who_has_been_quiet_for_a_while_comes_in_at_once_again(clock: Clock) -> None:
    pace = Pace(clock)
    let_in_within(pace, clock, 10.0)
    assert pace.wait("10.0.0.7") > 0
    clock.now += FREE * PAUSE_SECONDS
    assert let_in_within(pace, clock, 0.0) == FREE


def test_whoever_comes_often_while_nobody_must_wait_does_not_wait_long_afterwards(clock: Clock) -> None:
    pace = Pace(clock)
    for _ in range(1000 * FREE):
        pace.let_in("10.0.0.7")
    assert pace.wait("10.0.0.7") == PAUSE_SECONDS


def test_who_releases_its_associations_never_waits(clock: Clock) -> None:
    pace = Pace(clock)
    for _ in range(100 * FREE):
        assert pace.wait("10.0.0.7") == 0.0
        pace.let_in("10.0.0.7")
        pace.released("10.0.0.7")


def test_releases_earn_no_credit_to_break_off_more(clock: Clock) -> None:
    pace = Pace(clock)
    for _ in range(FREE // 2):
        pace.let_in("10.0.0.7")
    clock.now += 60.0
    for _ in range(FREE // 2):
        pace.released("10.0.0.7")
    assert let_in_within(pace, clock, 0.0) == FREE


def test_owners_that_owe_nothing_are_forgotten(clock: Clock) -> None:
    pace = Pace(clock)
    for number in range(5000):
        pace.let_in(str(number))
        clock.now += 0.1
    assert len(pace._paid) < 1100
