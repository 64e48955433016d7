"""The live listener under fire: sends it bytes, and watches its processes, their memory and their manners."""

from __future__ import annotations

import socket
import time

import psutil

from tests.dicom_node.sending import Sender
from tests.fuzz.amount import GROWTH_BYTES, HANG_SECONDS, TRIES
from tests.listening import ListenerProcess, radiograph


class Watched:
    """A listener process whose health is compared with what it was when this was made."""

    def __init__(self, listener: ListenerProcess) -> None:
        self._listener = listener
        self._read = 0
        self._process = psutil.Process(listener.pid)
        assert Sender(listener.port).send(radiograph(1)) == 0x0000
        self._workers = self._pids()
        self._memory = self.memory()

    def memory(self) -> int:
        """Bytes that the listener's processes hold, what they share counted once."""
        return sum(int(one.memory_full_info().pss) for one in (self._process, *self._process.children()))

    def settle(self) -> None:
        """Take the memory of now as what it started with: caches are filled, threads have stacks."""
        self._memory = self.memory()

    def check(self, number: int) -> None:
        """No process died, memory has not grown, and an honest sender is served."""
        self.check_honest_sender(number)
        assert self._pids() == self._workers, "a process of the listener died"
        grown = self.memory() - self._memory
        assert grown < GROWTH_BYTES, f"memory grew by {grown >> 20} MiB"
        with self._listener.log.open("rb") as log:
            log.seek(self._read)
            said = log.read()
        self._read += len(said)
        assert b"Traceback" not in said, said.decode(errors="replace")[-3000:]

    def check_honest_sender(self, number: int) -> None:
        """An image of a sender that does everything right is taken in."""
        for _ in range(TRIES):
            begin = time.monotonic()
            assert Sender(self._listener.port).send(radiograph(number)) == 0x0000
            if time.monotonic() - begin < HANG_SECONDS:
                return
        raise AssertionError("an honest sender had to wait")

    def _pids(self) -> set[int]:
        return {child.pid for child in self._process.children()}


def fire(port: int, content: bytes) -> None:
    """Send bytes on a connection of their own, say that no more come, and wait until the other side closes.

    Raises:
        TimeoutError: it does not close in time, however often this is tried.
    """
    for attempt in range(TRIES):
        try:
            _fire(port, content)
            return
        except TimeoutError:
            if attempt == TRIES - 1:
                raise


def _fire(port: int, content: bytes) -> None:
    until = time.monotonic() + HANG_SECONDS
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS) as connection:
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                if time.monotonic() > until:
                    raise TimeoutError("the listener goes on talking")
        except (ConnectionError, BrokenPipeError):
            return
