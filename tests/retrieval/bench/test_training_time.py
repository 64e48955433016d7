from __future__ import annotations

from collections.abc import Sequence

import pytest

from retrieval.bench.training_time import TrainingTime


class Clock:
    """Seconds that pass when it is told so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def trained_for(limit: TrainingTime, clock: Clock, needs: Sequence[int]) -> list[int]:
    """Seconds that networks train, one second a step, each until it is done or its time is up."""
    taken = []
    for need in needs:
        began = clock.now
        with limit.share():
            while clock.now - began < need and not limit.up:
                clock.now += 1
        taken.append(round(clock.now - began))
        clock.now += 1000  # what measuring takes is not training
    return taken


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ((900, 900, 900), [20, 20, 20]),
        ((5, 900, 900), [5, 28, 27]),
        ((900, 1, 900), [20, 1, 39]),
    ],
)
def test_what_one_does_not_use_is_there_for_the_others(needs: Sequence[int], expected: list[int]) -> None:
    clock = Clock()
    limit = TrainingTime(60 / 3600, clock)
    limit.waiting = len(needs)
    assert trained_for(limit, clock, needs) == expected


def test_without_hours_time_is_never_up() -> None:
    clock = Clock()
    assert trained_for(TrainingTime(None, clock), clock, [10_000, 10_000]) == [10_000, 10_000]


def test_no_hours_are_up_at_once() -> None:
    limit = TrainingTime(0)
    with limit.share():
        assert limit.up
    assert not limit.up
