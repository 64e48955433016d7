"""A connection read in as few system calls as possible, and the data PDUs that come over it."""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import cast

from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

from dicom_node.straight import ExpectedData
from dicom_node.tls import names_of_peer

# What one system call may read: four of the largest usual PDUs.
_READ_BYTES = 512 << 10
_DISCARD_BYTES = 16 << 10
# Memory of connections that have ended, for the next ones: making and freeing it each time scatters the heap.
_idle_memory: deque[bytearray] = deque(maxlen=64)


class ImageSocket(AssociationSocket):
    """A connection that is read in large pieces, and whose peer must finish in time what it has begun.

    Plain and TLS connections alike. What was read and not yet used is `buffered`. Whoever waits for the peer is woken
    by `ring` as well, so that nobody need wake up again and again to look for other work.

    Args:
        idle_seconds: longest time that `recv` and a send may take; None = for ever.
    """

    def __init__(self, assoc: Association, client_socket: socket.socket, idle_seconds: float | None) -> None:
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._secured = isinstance(client_socket, ssl.SSLSocket)
        # What is sent over a plain connection has the kernel's time-out, since Python's own asks before each call.
        client_socket.settimeout(idle_seconds if self._secured else None)
        seconds, fraction = divmod(idle_seconds or 0.0, 1.0)
        time_out = struct.pack("ll", int(seconds), int(fraction * 1e6))
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, time_out)
        super().__init__(assoc, client_socket)
        self._idle_seconds = idle_seconds
        self._poll = select.poll()
        self._poll.register(client_socket, select.POLLIN)
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._remove_bell = weakref.finalize(self, os.close, self._bell)
        self._poll.register(self._bell, select.POLLIN)
        self._bell_lock = threading.Lock()
        self._memory = bytearray()
        self._first = self._end = 0

    @property
    def buffered(self) -> memoryview:
        """What was read and not yet used; to be released before the next read."""
        return memoryview(self._memory)[self._first : self._end]

    @property
    def peer_names(self) -> frozenset[str] | None:
        """The names in the peer's certificate; None without TLS."""
        return names_of_peer(self.socket)

    @property
    def ready(self) -> bool:
        """Whether there is something to read now."""
        return self.wait(0.0)

    def ring(self) -> None:
        """Wake the thread that waits for the peer; from any thread."""
        with self._bell_lock:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def wait(self, seconds: float) -> bool:
        """Whether there is something to use, waiting for it so long at most, or until somebody rings."""
        return self._first < self._end or self._arrived(seconds)

    def use(self, count: int) -> None:
        """Forget so many bytes of `buffered`."""
        self._first += count

    def read_more(self, seconds: float) -> bool | None:
        """Add to `buffered` what has come; False when nothing came so long, or somebody rang, None at the end.

        Raises:
            OSError: the connection is broken.
        """
        self._make_room()
        with memoryview(self._memory)[self._end :] as room:
            count = self._read_into(room, seconds)
        if count is None:
            return False
        self._end += count
        return True if count else None

    @property
    def reads_straight(self) -> bool:
        """Whether `read_expected` can be called now: nothing is `buffered`, and nothing has to be decrypted."""
        return self._first == self._end and not self._secured

    def read_expected(self, expected: ExpectedData, seconds: float) -> bool | None:
        """Read into the buffers of `expected` and sort it; what was not expected is `buffered`. Else as `read_more`."""
        count = self._read_with(
            lambda connection, flags: connection.recvmsg_into(expected.buffers, 0, flags)[0], seconds
        )
        if not count:
            return False if count is None else None
        other = expected.sort(count)
        self._make_room()
        self._memory[: len(other)] = other
        self._end = len(other)
        return True

    def discard(self, seconds: float) -> bool:
        """Throw away what has come, waiting for it so long at most; whether there was anything.

        Raises:
            OSError: the connection is broken.
        """
        self._first = self._end = 0
        with memoryview(bytearray(_DISCARD_BYTES)) as room:
            return bool(self._read_into(room, seconds))

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly `nr_bytes` bytes, fewer only when the peer has closed the connection.

        Raises:
            OSError: the connection is broken, or they did not all come within the time that an association may idle.
        """
        until = None if self._idle_seconds is None else time.monotonic() + self._idle_seconds
        result = bytearray(nr_bytes)
        with self.buffered as buffered:
            filled = min(nr_bytes, len(buffered))
            result[:filled] = buffered[:filled]
        self.use(filled)
        with memoryview(result) as view:
            while filled < nr_bytes:
                count = self._read_into(view[filled:], None if until is None else until - time.monotonic())
                if count is None:
                    if until is None or time.monotonic() < until:
                        continue
                    raise TimeoutError("the peer did not finish what it had begun to send")
                if count == 0:
                    break
                filled += count
        return result if filled == nr_bytes else result[:filled]

    def forget(self) -> None:
        """Let go of what was read; the connection is of no more use."""
        memory, self._memory = self._memory, bytearray()
        self._first = self._end = 0
        if memory:
            _idle_memory.append(memory)
        with self._bell_lock:
            if self._bell >= 0:
                self._poll.unregister(self._bell)
                self._bell = -1
                self._remove_bell()

    def _read_into(self, room: memoryview, seconds: float | None) -> int | None:
        return self._read_with(lambda connection, flags: connection.recv_into(room, 0, flags), seconds)

    def _read_with(self, read: Callable[[socket.socket, int], int], seconds: float | None) -> int | None:
        """Read what has come, 0 bytes at the end; None when nothing comes within so many seconds."""
        connection = self._open_socket
        if not self._secured:
            try:
                return read(connection, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._acknowledge()
        if not self._arrived(seconds):
            return None
        try:
            return read(connection, 0 if self._secured else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def _arrived(self, seconds: float | None) -> bool:
        if self.socket is None:
            return False
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        found = self._poll.poll(None if seconds is None else max(0.0, seconds) * 1000)
        if any(file == self._bell for file, _ in found):
            os.eventfd_read(self._bell)
        return any(file != self._bell for file, _ in found)

    @property
    def _open_socket(self) -> socket.socket:
        if self.socket is None:
            raise OSError("the connection is closed")
        return self.socket

    def _make_room(self) -> None:
        if self._first == self._end:
            self._first = self._end = 0
        elif self._first:
            self._memory[: self._end - self._first] = self._memory[self._first : self._end]
            self._first, self._end = 0, self._end - self._first
        if not self._memory:
            self._memory = _unused_memory()

    def _acknowledge(self) -> None:
        """Acknowledge at once what has come: senders that wait for it (Nagle) lose 40 ms with each small PDU otherwise.

        Linux forgets the option, so it is set again and again.
        """
        self._open_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class ReceivedData(P_DATA_TF):
    """A P-DATA-TF PDU (PS3.8 9.3.5) whose values are views of the bytes that were read."""

    def __init__(self, body: bytearray) -> None:
        """Take a PDU apart.

        Raises:
            ValueError: the lengths of its items do not add up.
        """
        super().__init__()
        self._values: list[tuple[int, bytes]] = []
        view, offset = memoryview(body), 0
        while offset < len(body):
            if offset + 6 > len(body):
                raise ValueError("a presentation data value is cut off")
            length, context_id = struct.unpack_from(">LB", body, offset)
            if length < 2 or offset + 4 + length > len(body):
                raise ValueError("a presentation data value has an impossible length")
            # pynetdicom only looks at the first byte and hands the rest to a file, which a view can do as well.
            self._values.append((context_id, cast(bytes, view[offset + 5 : offset + 4 + length])))
            offset += 4 + length

    def to_primitive(self) -> P_DATA:
        """The P-DATA indication of this PDU."""
        primitive = P_DATA()
        primitive.presentation_data_value_list.extend(self._values)
        return primitive


def _unused_memory() -> bytearray:
    try:
        return _idle_memory.pop()
    except IndexError:
        return bytearray(_READ_BYTES)
