"""What disturbs a listener: connections that say nothing, that speak a byte at a time, or that die at every PDU.

All of it calls as a known peer from an address of its own, which is worse than a stranger: it is let in.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, cycle

from tests.dicom_node.sending import command, encoded, pdu
from tests.fuzz.seeds import ABORT, RELEASE_REQUEST, association_request
from tests.listening import radiograph

TITLE, ADDRESS = "FUZZER", "127.0.0.2"
# Between two looks at all connections, and between two bytes of one that is slow.
_TICK_SECONDS = 0.5
_ANSWER_SECONDS = 5.0
# How many lost connections are opened again in one tick: the siege is of slow speakers, not of many knocks.
_AGAIN = 10
# Associations that may wait for their answer at a time, without holding up the ones to be killed after them.
_PENDING = 400
# First byte of an A-ASSOCIATE-AC.
_ACCEPTED = b"\x02"
# Closing a connection with this set sends a reset (RST).
_RESET = struct.pack("ii", 1, 0)


class Siege(threading.Thread):
    """Disturbs a listener from `start` on until `end`.

    Attributes:
        reached: how much of it there was: connections open at the end, or associations killed in a second.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._ended = threading.Event()
        self.reached = 0.0

    def end(self) -> None:
        """Leave off, and close everything."""
        self._ended.set()
        self.join()

    def _connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), _ANSWER_SECONDS, source_address=(ADDRESS, 0))


@dataclass
class _Open:
    connection: socket.socket
    # What is said when the listener has answered.
    rest: tuple[bytes, ...]


class Slow(Siege):
    """So many connections at a time that each say a few bytes and then one more now and then; lost ones come again.

    Args:
        connections: how many.
        beginnings: what they say at first, taken in turn; of several parts, the next follows an answer.
        goes_on: whether another byte follows every half second, once all parts are said.
    """

    def __init__(self, port: int, connections: int, beginnings: tuple[tuple[bytes, ...], ...], goes_on: bool) -> None:
        super().__init__(port)
        self._beginnings = cycle(beginnings)
        self._goes_on = goes_on
        self._wanted = connections
        self._open: list[_Open] = []

    def run(self) -> None:
        """Keep them open."""
        first = True
        while not self._ended.is_set():
            begin = time.monotonic()
            self._open = [one for one in self._open if self._lives(one)]
            self._fill(self._wanted if first else len(self._open) + _AGAIN)
            first = False
            self._ended.wait(max(0.0, _TICK_SECONDS - (time.monotonic() - begin)))
        self.reached = len(self._open)
        for one in self._open:
            one.connection.close()

    def _fill(self, most: int) -> None:
        while len(self._open) < min(most, self._wanted) and not self._ended.is_set():
            said, *rest = next(self._beginnings)
            try:
                connection = self._connected()
                connection.sendall(said)
            except OSError:
                # The listener has no room; it is tried again at the next tick.
                return
            connection.setblocking(False)
            self._open.append(_Open(connection, tuple(rest)))

    def _lives(self, one: _Open) -> bool:
        try:
            if self._goes_on and not one.rest:
                one.connection.send(b"\0")
            lives = one.connection.recv(4096) != b""
            if lives and one.rest:
                one.connection.sendall(one.rest[0])
                one.rest = one.rest[1:]
        except BlockingIOError:
            return True
        except OSError:
            lives = False
        if not lives:
            one.connection.close()
        return lives


class Killing(Siege):
    """So many associations a second, each cut off after another PDU of its course, or in the middle of one.

    They do not wait for each other: while the listener keeps one waiting, the next ones are begun in time.
    """

    def __init__(self, port: int, per_second: int) -> None:
        super().__init__(port)
        self._pause = 1.0 / per_second
        self._killed = 0
        self._counting = threading.Lock()

    def run(self) -> None:
        """Open and cut off."""
        endings = cycle(_courses())
        begin = time.monotonic()
        pool = ThreadPoolExecutor(_PENDING)
        for number in count():
            if self._ended.wait(max(0.0, begin + number * self._pause - time.monotonic())):
                pool.shutdown(cancel_futures=True)
                return
            pool.submit(self._cut_off, next(endings))
            self.reached = self._killed / (time.monotonic() - begin)

    def _cut_off(self, course: tuple[bytes, ...]) -> None:
        # The listener may be quicker to end it.
        with contextlib.suppress(OSError), self._connected() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            for part in course:
                connection.sendall(part)
                if part == association_request() and connection.recv(4096)[:1] != _ACCEPTED:
                    return
            with self._counting:
                self._killed += 1


def idle(port: int, connections: int) -> Siege:
    """Connections that say nothing."""
    return Slow(port, connections, ((b"",),), goes_on=False)


def slow_loris(port: int, connections: int) -> Siege:
    """A byte every half second: of an association request, of a long one, of something else, and of an image."""
    request = association_request()
    image = pdu((3, command(1))) + struct.pack(">BxLLBB", 4, 100_006, 100_002, 1, 0)
    long, other = struct.pack(">BxL", 1, 200_000), struct.pack(">BxL", 4, 200_000)
    return Slow(port, connections, ((request[:20],), (long,), (other,), (request, image)), goes_on=True)


def killed(port: int, per_second: int) -> Siege:
    """Associations cut off at every PDU."""
    return Killing(port, per_second)


def _courses() -> list[tuple[bytes, ...]]:
    """The beginnings of an association's course, each one PDU or half of one longer than the one before."""
    image = encoded(radiograph(1))
    ends = (RELEASE_REQUEST, ABORT)
    whole = (association_request(), pdu((3, command(1))), pdu((0, image[:300])), pdu((2, image[300:])))
    found: list[tuple[bytes, ...]] = []
    for number, part in enumerate(whole):
        found += [whole[:number], (*whole[:number], part[: len(part) // 2]), whole[: number + 1]]
        found += [(*whole[: number + 1], end) for end in ends]
    return found
