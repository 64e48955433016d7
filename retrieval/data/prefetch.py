"""The next batches are made ready while the network computes the present one."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from retrieval.errors import ConfigInvalid

Item = TypeVar("Item")

_END: Final = object()


def prefetched(items: Iterable[Item], depth: int = 2) -> Generator[Item, None, None]:
    """Iterate in a thread of its own, up to `depth` items ahead, in the same order.

    The thread starts with the first `next` and has ended when the iterator is exhausted, raises or is closed; `items`
    is closed with it if it can be. An error of `items` is raised where its item would have come. Use
    `contextlib.closing` where the loop may be left early, so that the thread ends at once.

    Args:
        items: taken from by one thread at a time, so it needs no lock; may be endless.
        depth: how many items may wait, at least 1; each holds its memory.

    Raises:
        ConfigInvalid: `depth` is less than 1.
    """
    if depth < 1:
        raise ConfigInvalid(f"At least one item must be made ready ahead, not {depth}.")
    return _ahead(items, depth)


def _ahead(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    iterator = iter(items)
    waiting: deque[Future[Any]] = deque()
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as worker:
            try:
                waiting.extend(worker.submit(next, iterator, _END) for _ in range(depth))
                while (item := waiting.popleft().result()) is not _END:
                    waiting.append(worker.submit(next, iterator, _END))
                    yield item
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
