"""The way out of the listener: peers for whom there is no room are told so, and may read that before they go."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from itertools import takewhile

from dicom_node.tls import Certificates

logger = logging.getLogger(__name__)

# TLS handshakes that are begun in one second to reject what follows. Each costs this process milliseconds.
HANDSHAKES_A_SECOND = 10
# A-ASSOCIATE-RJ (PS3.8 9.3.4): transient, by the service provider (presentation related), local limit exceeded.
TOO_MANY = (0x02, 0x03, 0x02)
# How long a peer that is turned away may take to ask, to read the answer and to close the connection.
_LEAVE_SECONDS = 5.0
_MOST_LEAVING = 100
_PIECE = 32 << 10
_REQUEST, _REJECTION = 0x01, 0x03
# What a TLS connection begins with (RFC 8446 5.1).
_HANDSHAKE = 0x16


@dataclass
class _Leaving:
    connection: socket.socket
    until: float
    # Whether the rejection has been sent.
    told: bool = False


class WayOut:
    """Rejects association requests for now, and keeps each connection until its peer has read that; without threads.

    A connection that is closed with something unread in it is reset, and its peer may never see the rejection. Over TLS
    the handshake comes first. Whoever attacks the listener could have it do handshakes and nothing else, so only
    `HANDSHAKES_A_SECOND` are begun; what comes beyond them, and what is no request at all, is closed without a word.

    Args:
        selector: where the connections are registered to be read; `go_on` is to be called when one can be.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        # In the order in which they came.
        self._leaving: dict[int, _Leaving] = {}
        self._second = 0
        self._handshakes = 0

    def __len__(self) -> int:
        return len(self._leaving)

    def __contains__(self, file: int) -> bool:
        return file in self._leaving

    def turn_away(self, connection: socket.socket, certificates: Certificates | None) -> None:
        """Take a connection over, something of which lies unread in the kernel's buffer, to reject what it asks for.

        Args:
            certificates: of a port for TLS; None = the connection is not encrypted.
        """
        connection.setblocking(False)
        try:
            begins = connection.recv(1, socket.MSG_PEEK)
            if begins != bytes([_REQUEST if certificates is None else _HANDSHAKE]):
                connection.close()
                return
            if certificates is not None:
                if not self._may_begin_handshake():
                    connection.close()
                    return
                connection = certificates.accepting().wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
        except OSError as error:
            logger.debug("A peer was gone before it could be turned away (%s).", type(error).__name__)
            connection.close()
            return
        if len(self._leaving) >= _MOST_LEAVING:
            self._close(next(iter(self._leaving)))
        self._leaving[connection.fileno()] = _Leaving(connection, time.monotonic() + _LEAVE_SECONDS)
        self._selector.register(connection, selectors.EVENT_READ)
        self.go_on(connection.fileno())

    def go_on(self, file: int) -> None:
        """Go on with a connection of which there is something to read."""
        leaving = self._leaving[file]
        try:
            if not leaving.told:
                self._tell(leaving)
            # One piece at a time: whoever sends without end must not hold up the others.
            if leaving.connection.recv(_PIECE):
                return
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            logger.debug("A peer that was turned away was gone already (%s).", type(error).__name__)
        self._close(file)

    def close_late(self) -> None:
        """Close who does not leave."""
        now = time.monotonic()
        for file, _ in list(takewhile(lambda one: one[1].until <= now, self._leaving.items())):
            self._close(file)

    def close(self) -> None:
        """Close all."""
        for file in list(self._leaving):
            self._close(file)

    def abandon(self) -> None:
        """Close the copies that a forked process has, see `Doorway.abandon`."""
        for leaving in self._leaving.values():
            leaving.connection.close()

    def _may_begin_handshake(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._handshakes = second, 0
        self._handshakes += 1
        return self._handshakes <= HANDSHAKES_A_SECOND

    def _tell(self, leaving: _Leaving) -> None:
        """Send the rejection once the request has begun to come.

        Raises:
            OSError: the peer has gone, is none of ours or asks for no association; or more must come first
                (BlockingIOError, ssl.SSLWantReadError).
        """
        connection = leaving.connection
        if isinstance(connection, ssl.SSLSocket):
            connection.do_handshake()
        if connection.recv(_PIECE)[:1] != bytes([_REQUEST]):
            raise ConnectionAbortedError
        connection.send(struct.pack(">BxLxBBB", _REJECTION, 4, *TOO_MANY))
        leaving.told = True
        if isinstance(connection, ssl.SSLSocket):
            # Says that no more will come; that the peer has more to say is not of interest.
            with contextlib.suppress(ssl.SSLError):
                connection.unwrap()
        connection.shutdown(socket.SHUT_WR)

    def _close(self, file: int) -> None:
        leaving = self._leaving.pop(file)
        self._selector.unregister(leaving.connection)
        leaving.connection.close()
