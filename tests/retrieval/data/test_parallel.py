from __future__ import annotations

import time
from contextlib import closing
from itertools import count, islice
from threading import active_count

import pytest

from retrieval.data.parallel import parallel_map


def test_results_keep_the_order_of_the_items() -> None:
    def late_if_even(number: int) -> int:
        time.sleep(0.002 * (number % 2 == 0))
        return -number

    assert list(parallel_map(late_if_even, range(100))) == [-number for number in range(100)]
    assert list(parallel_map(late_if_even, [])) == []


def test_an_error_comes_where_its_result_would_have_come() -> None:
    results = parallel_map(lambda number: 10 // number, [5, 2, 0, 1])
    assert list(islice(results, 2)) == [2, 5]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_begins_nothing_more_and_leaves_no_thread() -> None:
    begun: list[int] = []
    before = active_count()
    with closing(parallel_map(begun.append, count())) as results:
        next(results)
    seen = len(begun)
    time.sleep(0.02)
    assert len(begun) == seen
    assert active_count() == before
