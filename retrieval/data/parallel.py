"""Work on many items in several threads, with the results in order and few of them waiting."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Items under way for each thread, so that one that takes long does not keep the others waiting.
_AHEAD = 8


def parallel_map(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Results of `work` in the order of `items`, computed by one thread a processor.

    It pays where `work` leaves Python's lock, as OpenCV does. An error is raised where its result would have come; what
    has not begun by then, or when the iterator is closed, is not begun.
    """
    threads = os.cpu_count() or 1
    remaining = iter(items)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="parallel") as pool:
        try:
            for item in remaining:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
