"""The live listener under fire: sends it bytes, and watches its processes, their memory and their manners."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil
from pydicom.uid import UID

from tests.dicom_node.sending import Sender, command, pdu
from tests.fuzz.amount import GROWTH_BYTES, HANG_SECONDS, TRIES
from tests.fuzz.seeds import RELEASE_REQUEST, SYNTAXES, association_request
from tests.listening import ListenerProcess, radiograph

# Tag and length of the element Status (0000,0900) in a command set.
STATUS = struct.pack("<HHL", 0, 0x900, 2)


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
            try:
                assert Sender(self._listener.port).send(radiograph(number)) == 0x0000
            except AssertionError:
                # Time-outs of a machine that stood still are no refusals.
                if time.monotonic() - begin < HANG_SECONDS:
                    raise
            if time.monotonic() - begin < HANG_SECONDS:
                return
        raise AssertionError("an honest sender had to wait")

    def _pids(self) -> set[int]:
        return {child.pid for child in self._process.children()}


class Storing:
    """An association of `association_request`, on which one data set after the other is sent, by bare sockets.

    Args:
        port: where the listener is.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = self._associated()

    def send(self, syntax: UID, content: bytes) -> int:
        """Send a data set in a transfer syntax of `SYNTAXES`, whole in one PDU; returns the status of the answer.

        Raises:
            TimeoutError: there is none in time, however often this is tried.
        """
        for _ in range(TRIES - 1):
            with suppress(TimeoutError):
                self.begin(syntax, content)
                return self.status(HANG_SECONDS)
            self._connection.close()
            self._connection = self._associated()
        self.begin(syntax, content)
        return self.status(HANG_SECONDS)

    def begin(self, syntax: UID, *fragments: bytes, last: bool = True) -> None:
        """Send a request to store and fragments of its data set, a PDU each; more follow unless this is the last."""
        context = 2 * SYNTAXES.index(syntax) + 1
        self._connection.sendall(pdu((3, command(1)), context=context))
        for number, fragment in enumerate(fragments, 1):
            control = 2 if last and number == len(fragments) else 0
            self._connection.sendall(pdu((control, fragment), context=context))

    def send_pdus(self, pdus: Iterable[bytes], seconds: float) -> int:
        """Send PDUs of which the last completes a request; returns the status of the answer within so many seconds."""
        self._connection.settimeout(seconds)
        for one in pdus:
            self._connection.sendall(one)
        return self.status(seconds)

    def status(self, seconds: float) -> int:
        """The status of the next answer.

        Raises:
            TimeoutError: there is none within so many seconds.
        """
        self._connection.settimeout(seconds)
        kind, answer = _read(self._connection)
        status = answer.partition(STATUS)[2][:2]
        assert kind == 4 and len(status) == 2, f"a PDU of type {kind} for an answer"
        return int.from_bytes(status, "little")

    def _associated(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=HANG_SECONDS)
        connection.sendall(association_request())
        assert _read(connection)[0] == 2, "the association was not accepted"
        return connection

    def close(self) -> None:
        """Release the association."""
        self._connection.sendall(RELEASE_REQUEST)
        assert _read(self._connection)[0] == 6, "the release was not confirmed"
        self._connection.close()


def _read(connection: socket.socket) -> tuple[int, bytes]:
    """The next PDU: its type, and what follows its length."""
    head = connection.recv(6, socket.MSG_WAITALL)
    assert len(head) == 6, "the listener has closed the connection"
    kind, length = struct.unpack(">BxL", head)
    return kind, connection.recv(length, socket.MSG_WAITALL)


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
