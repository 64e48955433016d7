"""The way into the listener: connections that may come in later wait in line, at no cost, one line for each owner."""

from __future__ import annotations

import logging
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from config.errors import LungprintError

logger = logging.getLogger(__name__)

_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


@dataclass(frozen=True)
class Caller:
    """Who has connected: its address and port, and the port of ours that it came to."""

    host: str
    port: int
    door: int


@dataclass(frozen=True)
class Waiting:
    """A connection that nobody serves yet, and when it is closed at the latest (`time.monotonic`)."""

    connection: socket.socket
    caller: Caller
    until: float


class NotYet(LungprintError):
    """A connection may be let in, but later.

    Attributes:
        owner: whose connections wait in one line. seconds: until the first of them may be tried again.
    """

    def __init__(self, owner: str, seconds: float) -> None:
        super().__init__("its owner's connections are let in one after the other.")
        self.owner = owner
        self.seconds = seconds


class WayIn:
    """Tries again, in the order in which they came, to let in connections that were let in not yet.

    Args:
        let_in: takes one; raises NotYet when it must wait longer.
        turn_away: takes one that waits no longer.
    """

    def __init__(self, let_in: Callable[[Waiting], None], turn_away: Callable[[Waiting], None]) -> None:
        self._let_in = let_in
        self._turn_away = turn_away
        self._lines: dict[str, deque[Waiting]] = {}
        # When the first of each line may be tried again.
        self._next: dict[str, float] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def add(self, waiting: Waiting, why: NotYet) -> None:
        """Put a connection at the end of its owner's line."""
        if why.owner not in self._lines:
            logger.warning(
                "Connections from %s must wait: its last ones were broken off, and others are served meanwhile.",
                waiting.caller.host,
            )
            self._lines[why.owner] = deque()
            self._next[why.owner] = time.monotonic() + why.seconds
        self._lines[why.owner].append(waiting)

    def seconds(self, most: float) -> float:
        """Until `go_on` has something to do, so long at most."""
        if not self._next:
            return most
        return min(most, max(0.0, min(self._next.values()) - time.monotonic()))

    def go_on(self) -> None:
        """Let in whose time has come, and forget who has gone."""
        for owner in [one for one, when in self._next.items() if when <= time.monotonic()]:
            line = self._lines[owner]
            try:
                while line:
                    self._try(line[0])
                    line.popleft()
                del self._lines[owner], self._next[owner]
            except NotYet as why:
                self._next[owner] = time.monotonic() + why.seconds

    def make_room(self) -> None:
        """Turn away the first one of the longest line."""
        owner = max(self._lines, key=lambda one: len(self._lines[one]))
        self._turn_away(self._lines[owner].popleft())
        if not self._lines[owner]:
            del self._lines[owner], self._next[owner]

    def close(self) -> None:
        """Close all."""
        for line in self._lines.values():
            for waiting in line:
                waiting.connection.close()
        self._lines, self._next = {}, {}

    def _try(self, waiting: Waiting) -> None:
        if _has_gone(waiting.connection):
            waiting.connection.close()
        elif waiting.until <= time.monotonic():
            self._turn_away(waiting)
        else:
            self._let_in(waiting)


def _has_gone(connection: socket.socket) -> bool:
    """Whether the peer has closed its side."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return any(events & _GONE for _, events in poll.poll(0))
