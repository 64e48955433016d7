from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count, islice

import pytest

from retrieval.data.prefetch import prefetched
from retrieval.errors import ConfigInvalid


def test_items_keep_their_order() -> None:
    assert list(prefetched(range(50), 3)) == list(range(50))
    assert list(prefetched([], 3)) == []


@pytest.mark.parametrize("depth", [1, 3])
def test_so_many_items_are_made_ready_ahead_and_no_more(depth: int) -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in count():
            made.append(number)
            yield number

    with closing(prefetched(items(), depth)) as ahead:
        assert next(ahead) == 0
        until = time.monotonic() + 10
        while len(made) < 1 + depth and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(0.02)
        assert made == list(range(1 + depth))


def test_items_are_made_in_another_thread() -> None:
    names = prefetched(threading.current_thread().name for _ in range(2))
    assert all(name.startswith("prefetch") for name in names)


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    ahead = prefetched(items(), 4)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="disk is gone"):
        next(ahead)


def test_leaving_early_closes_the_source_and_ends_the_thread() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.set()

    before = threading.active_count()
    with closing(prefetched(items(), 2)) as ahead:
        assert list(islice(ahead, 3)) == [0, 1, 2]
    assert closed.is_set()
    assert threading.active_count() == before


def test_nothing_is_made_before_it_is_asked_for() -> None:
    before = threading.active_count()
    ahead = prefetched(iter([1]), 2)
    assert threading.active_count() == before
    ahead.close()


def test_depth_zero_is_refused() -> None:
    with pytest.raises(ConfigInvalid):
        prefetched([1], 0)
