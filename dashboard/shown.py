"""Which images have just been written to the audit trail, so that their thumbnails are not written once more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

# Thumbnails that belong to a page just shown, and audited with it, are not written a second time.
FRESH_SECONDS = 120.0
MOST_REMEMBERED = 10_000


class Shown:
    """Images whose showing has just been written down, by user; forgets the oldest."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, int], float] = {}
        self._lock = threading.Lock()

    def add(self, user_name: str, instance_ids: Iterable[int]) -> None:
        """Remember that the showing of these images has been written."""
        with self._lock:
            for instance_id in instance_ids:
                self._times.pop((user_name, instance_id), None)
                self._times[user_name, instance_id] = time.monotonic()
            while len(self._times) > MOST_REMEMBERED:
                del self._times[next(iter(self._times))]

    def has(self, user_name: str, instance_id: int) -> bool:
        """Whether it was written a moment ago."""
        with self._lock:
            then = self._times.get((user_name, instance_id))
        return then is not None and time.monotonic() - then < FRESH_SECONDS
