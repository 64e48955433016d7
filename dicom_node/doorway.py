"""The doors of the listener: holds a new connection, at no cost, until its peer has asked for an association."""

from __future__ import annotations

import logging
import selectors
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from config.errors import ConfigurationError, LungprintError
from dicom_node.tls import Certificates
from dicom_node.way_out import WayOut

logger = logging.getLogger(__name__)

# Longest wait for a complete association request once a connection is open (the ARTIM timer of PS3.8 9.1.5).
REQUEST_SECONDS = 30.0
# Connections that may wait; when one more comes, the one that has waited longest is closed.
MOST_WAITING = 1000
_BACKLOG = 128
_REQUEST = 0x01
_HEAD = 6
# Longer requests are handed over before they are complete; most are 1 to 20 KiB long.
_LONGEST_HELD = 32 << 10
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Caller:
    """Who has connected: its address and port, and the port of ours that it came to."""

    host: str
    port: int
    door: int


class NoRoom(LungprintError):
    """More connections are open than may be."""


HandOver = Callable[[socket.socket, Caller], None]


@dataclass(frozen=True)
class Waiting:
    """A connection whose peer has not asked for anything yet."""

    connection: socket.socket
    caller: Caller
    until: float


class Doorway:
    """Listens on ports and hands each connection over once a complete A-ASSOCIATE-RQ lies in the kernel's buffer.

    Whoever connects and says nothing, or half of something, costs a file descriptor and no thread. What is no
    association request is handed over as well: TLS begins with a handshake, and what makes no sense is answered by the
    upper layer as PS3.8 asks.

    Args:
        hand_over: takes a connection; may raise OSError, the connection is closed then, or NoRoom, then it is turned
            away, see `WayOut`.
        seconds: longest wait for a request.
    """

    def __init__(self, hand_over: HandOver, seconds: float = REQUEST_SECONDS) -> None:
        self._hand_over = hand_over
        self._seconds = min(seconds, REQUEST_SECONDS)
        self._doors: list[socket.socket] = []
        # In the order in which they came.
        self._waiting: dict[int, Waiting] = {}
        self._certificates: dict[int, Certificates] = {}
        self._selector = selectors.DefaultSelector()
        self._way_out = WayOut(self._selector)

    def open(self, host: str, port: int, certificates: Certificates | None = None) -> tuple[str, int]:
        """Listen on one more port, 0 = any free one; returns address and port.

        Args:
            certificates: of a port for TLS; None = its connections are not encrypted.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            door = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            kind = "DICOM" if certificates is None else "TLS"
            words = error.strerror or type(error).__name__
            raise ConfigurationError(f"The {kind} port {port} on {host} cannot be used: {words}.") from error
        door.setblocking(False)
        self._doors.append(door)
        self._selector.register(door, selectors.EVENT_READ)
        found = door.getsockname()
        if certificates is not None:
            self._certificates[int(found[1])] = certificates
        return str(found[0]), int(found[1])

    def watch(self, file: int, callback: Callable[[], None]) -> None:
        """Call this in `look` whenever the file descriptor can be read."""
        self._selector.register(file, selectors.EVENT_READ, callback)

    def forget(self, file: int) -> None:
        """Watch a file descriptor no more."""
        self._selector.unregister(file)

    def look(self, seconds: float = _LOOK_SECONDS) -> None:
        """Accept who knocks and hand over who has asked; returns after so many seconds at the latest."""
        for key, _ in self._selector.select(seconds):
            if key.fileobj in self._doors:
                self._accept(key.fileobj)
            elif callable(key.data):
                key.data()
            elif key.fd in self._waiting:
                self._examine(self._waiting[key.fd])
            elif key.fd in self._way_out:
                self._way_out.go_on(key.fd)
        self._close_late()

    def close(self) -> None:
        """Listen no more; who has asked for nothing yet is sent away."""
        for waiting in list(self._waiting.values()):
            self._close(waiting)
        self._way_out.close()
        self._selector.close()
        for door in self._doors:
            door.close()

    def abandon(self) -> None:
        """In a process that was forked from the listening one: close what it got a copy of.

        What is registered stays registered with the other one: a selector's own state is shared over a fork.
        """
        self._selector.close()
        for waiting in self._waiting.values():
            waiting.connection.close()
        self._way_out.abandon()
        for door in self._doors:
            door.close()

    def _accept(self, door: socket.socket) -> None:
        try:
            connection, address = door.accept()
        except OSError as error:
            # The peer may have gone already; without file descriptors, those who wait longest must go.
            logger.warning("A connection cannot be accepted (%s).", type(error).__name__)
            self._close_oldest()
            return
        if len(self._waiting) >= MOST_WAITING:
            self._close_oldest()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _HEAD)
        caller = Caller(str(address[0]), int(address[1]), int(door.getsockname()[1]))
        waiting = Waiting(connection, caller, time.monotonic() + self._seconds)
        self._waiting[connection.fileno()] = waiting
        self._selector.register(connection, selectors.EVENT_READ)

    def _examine(self, waiting: Waiting) -> None:
        connection = waiting.connection
        try:
            head = connection.recv(_HEAD, socket.MSG_PEEK)
            if not head:
                self._close(waiting)
                return
            if len(head) == _HEAD and head[0] == _REQUEST:
                whole = _HEAD + struct.unpack(">xxL", head)[0]
                if whole <= _LONGEST_HELD and len(connection.recv(whole, socket.MSG_PEEK)) < whole:
                    self._hold(waiting, whole)
                    return
        except BlockingIOError:
            return
        except OSError:
            self._close(waiting)
            return
        self._let_in(waiting)

    def _hold(self, waiting: Waiting, whole: int) -> None:
        """Wait until so many bytes have come; a peer that has closed its side will not send them."""
        connection = waiting.connection
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == whole:
            # The kernel says so all the same: the end has come before the rest.
            self._let_in(waiting)
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, whole)

    def _let_in(self, waiting: Waiting) -> None:
        self._drop(waiting)
        connection = waiting.connection
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            connection.setblocking(True)
            self._hand_over(connection, waiting.caller)
        except NoRoom as error:
            logger.warning("Turned away a connection from %s: %s", waiting.caller.host, error)
            self._way_out.turn_away(connection, self._certificates.get(waiting.caller.door))
        except OSError as error:
            logger.warning("A connection cannot be handed over (%s).", type(error).__name__)
            connection.close()

    def _close_late(self) -> None:
        now = time.monotonic()
        for waiting in list(takewhile(lambda one: one.until <= now, self._waiting.values())):
            logger.info("Closed a connection from %s that did not ask for an association.", waiting.caller.host)
            self._close(waiting)
        self._way_out.close_late()

    def _close_oldest(self) -> None:
        if self._waiting:
            self._close(next(iter(self._waiting.values())))

    def _close(self, waiting: Waiting) -> None:
        self._drop(waiting)
        waiting.connection.close()

    def _drop(self, waiting: Waiting) -> None:
        self._selector.unregister(waiting.connection)
        del self._waiting[waiting.connection.fileno()]
