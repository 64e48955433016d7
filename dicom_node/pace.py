"""How fast connections are let in from whom they are broken off again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

# So many that are broken off are nobody's fault: a network that fails ends all connections of a peer at once.
FREE = 20
# Of whom more are broken off, one is let in so often.
PAUSE_SECONDS = 0.2
# Owners that are remembered before those who owe nothing are looked for.
_MANY = 1000


class Pace:
    """Lets in at once whose connections are released, and slowly those whose last ones ended in any other way.

    To negotiate an association takes some milliseconds of a processor, whatever comes of it. Each connection costs its
    owner `PAUSE_SECONDS` when it is let in; a release gives them back, time pays the rest. Whoever owes as much as
    `FREE` connections cost waits. Associations that are released, one for each image or one for all, never do.

    Args:
        clock: seconds that never go back.

    Example:
        >>> pace = Pace(lambda: 0.0)
        >>> for _ in range(FREE):
        ...     pace.let_in("10.0.0.7")
        >>> pace.wait("10.0.0.7"), pace.wait("10.0.0.8")
        (0.2, 0.0)
        >>> pace.released("10.0.0.7")
        >>> pace.wait("10.0.0.7")
        0.0
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # When each owner will have paid for all that it was let in with.
        self._paid: dict[str, float] = {}

    def wait(self, owner: str) -> float:
        """Seconds until this owner's next connection may be let in."""
        owes = self._paid.get(owner, 0.0) - self._clock()
        return max(0.0, round(owes - (FREE - 1) * PAUSE_SECONDS, 6))

    def let_in(self, owner: str) -> None:
        """Note a connection that is let in."""
        now = self._clock()
        if len(self._paid) > _MANY:
            self._paid = {one: paid for one, paid in self._paid.items() if paid > now}
        # Nobody owes more, however many came while there was no reason to make them wait.
        paid = max(now, self._paid.get(owner, now)) + PAUSE_SECONDS
        self._paid[owner] = min(paid, now + FREE * PAUSE_SECONDS)

    def released(self, owner: str) -> None:
        """Note a connection that has ended as it should."""
        if owner in self._paid:
            self._paid[owner] -= PAUSE_SECONDS
