"""A connection read in as few system calls as possible, and the data PDUs that come over it."""

from __future__ import annotations

import select
import socket
import ssl
import struct
from typing import cast

from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

from dicom_node.tls import names_of_peer


class ImageSocket(AssociationSocket):
    """A connection that is read in as few system calls as possible."""

    def __init__(self, assoc: Association, client_socket: socket.socket, idle_seconds: float | None) -> None:
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A time-out of the kernel's, since with one of Python's MSG_WAITALL does not wait.
        seconds, fraction = divmod(idle_seconds or 0.0, 1.0)
        timeout = struct.pack("ll", int(seconds), int(fraction * 1e6))
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        super().__init__(assoc, client_socket)
        self._poll = select.poll()
        self._poll.register(client_socket, select.POLLIN)
        self._unread = bytearray()

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read, waiting for it so long at most."""
        if self.socket is None or self._unread:
            return bool(self._unread)
        return bool(self._poll.poll(seconds * 1000))

    def unread(self, data: bytearray) -> None:
        """Have these bytes read again."""
        self._unread = data + self._unread

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly `nr_bytes` bytes, fewer only when the peer has closed the connection.

        Raises:
            OSError: the connection is broken, or nothing came for as long as an association may idle.
        """
        if self._unread:
            first, self._unread = self._unread[:nr_bytes], self._unread[nr_bytes:]
            return first + self.recv(nr_bytes - len(first)) if len(first) < nr_bytes else first
        buffer = bytearray(nr_bytes)
        with memoryview(buffer) as view:
            filled = self.recv_into(view)
        return buffer if filled == nr_bytes else buffer[:filled]

    def recv_into(self, view: memoryview) -> int:
        """Fill a buffer; returns how many bytes came, fewer than its length only when the peer closed the connection.

        Raises:
            OSError: as for `recv`.
        """
        if self.socket is None:
            raise OSError("the connection is closed")
        filled = 0
        while filled < len(view):
            count = self.socket.recv_into(view[filled:], 0, socket.MSG_WAITALL)
            if count == 0:
                break
            filled += count
        return filled

    @property
    def peer_names(self) -> frozenset[str] | None:
        """The names in the peer's certificate; None without TLS."""
        return names_of_peer(self.socket)

    def acknowledge(self) -> None:
        """Acknowledge at once what has come: senders that wait for it (Nagle) lose 40 ms with each small PDU otherwise.

        Linux forgets the option, so it is set again and again.
        """
        if self.socket is not None:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class SecureImageSocket(ImageSocket):
    """The same over TLS, which gives a record at a time and keeps what was not asked for."""

    def __init__(self, assoc: Association, client_socket: ssl.SSLSocket, idle_seconds: float | None) -> None:
        super().__init__(assoc, client_socket, idle_seconds)
        # OpenSSL would go on waiting when the kernel's time-out has passed.
        client_socket.settimeout(idle_seconds)

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read, what TLS has taken from the connection already included."""
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        return super().wait(seconds)

    def recv_into(self, view: memoryview) -> int:
        """As `ImageSocket.recv_into`."""
        if self.socket is None:
            raise OSError("the connection is closed")
        filled = 0
        while filled < len(view) and (count := self.socket.recv_into(view[filled:])):
            filled += count
        return filled


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
