"""Time that training may take, divided among the networks that wait for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SECONDS = 3600.0


class TrainingTime:
    """Hours by the clock for all networks together; each gets the same share of what is left when its turn comes.

    What a network does not use is there for those after it.

    Args:
        hours: for all; without limit if None. clock: seconds that only go up.

    Attributes:
        waiting: networks that are still to be trained.
    """

    def __init__(self, hours: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._left = math.inf if hours is None else hours * _SECONDS
        self._clock = clock
        self._end = math.inf
        self.waiting = 1

    @property
    def up(self) -> bool:
        """Whether the share of the network that is being trained is used up."""
        return self._clock() >= self._end

    @contextmanager
    def share(self) -> Iterator[None]:
        """Train one network within."""
        began = self._clock()
        self._end = began + self._left / max(1, self.waiting)
        try:
            yield
        finally:
            self._left = max(0.0, self._left - (self._clock() - began))
            self.waiting -= 1
            self._end = math.inf
