from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from config.errors import ConfigurationError
from dicom_node.doorway import Caller, Doorway, HandOver, NoRoom

REQUEST = struct.pack(">BxL", 1, 200) + bytes(200)


class Open:
    """A doorway that is looked at all the time, and what it handed over."""

    def __init__(self, seconds: float, hand_over: HandOver | None = None) -> None:
        self.given: list[socket.socket] = []
        self.doorway = Doorway(hand_over or (lambda connection, _: self.given.append(connection)), seconds)
        self.address = self.doorway.open("127.0.0.1", 0)
        self.ended = False
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _look(self) -> None:
        while not self.ended:
            self.doorway.look(0.02)

    def connect(self) -> socket.socket:
        made = socket.create_connection(self.address)
        made.settimeout(20)
        return made

    def came(self, count: int) -> bool:
        until = time.monotonic() + 10
        while len(self.given) < count and time.monotonic() < until:
            time.sleep(0.01)
        return len(self.given) == count

    def close(self) -> None:
        self.ended = True
        self.thread.join()
        self.doorway.close()
        for connection in self.given:
            connection.close()


@pytest.fixture
def door() -> Iterator[Open]:
    made = Open(seconds=30)
    yield made
    made.close()


def test_a_whole_request_is_handed_over_unread(door: Open) -> None:
    with door.connect() as peer:
        peer.sendall(REQUEST)
        assert door.came(1)
        assert door.given[0].recv(1000, socket.MSG_WAITALL | socket.MSG_PEEK | socket.MSG_DONTWAIT) == REQUEST


def test_half_a_request_waits_outside_until_the_rest_comes(door: Open) -> None:
    with door.connect() as peer:
        for part in (REQUEST[:3], REQUEST[3:100]):
            peer.sendall(part)
            time.sleep(0.1)
            assert door.given == []
        peer.sendall(REQUEST[100:])
        assert door.came(1)


def test_what_is_no_request_is_handed_over_to_be_refused(door: Open) -> None:
    with door.connect() as peer, door.connect() as other, door.connect() as third:
        peer.sendall(b"GET / HTTP/1.1\r\n")
        other.sendall(struct.pack(">BxL", 1, 190_000_000))
        third.sendall(REQUEST[:50])
        third.shutdown(socket.SHUT_WR)
        assert door.came(3)


def test_silent_connections_are_closed_in_time() -> None:
    door = Open(seconds=0.3)
    try:
        with door.connect() as silent, door.connect() as half:
            half.sendall(REQUEST[:20])
            assert silent.recv(10) == b""
            with pytest.raises(ConnectionResetError):
                half.recv(10)
        assert door.given == []
    finally:
        door.close()


def test_silent_connections_do_not_keep_others_out(door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.doorway.MOST_WAITING", 5)
    silent = [door.connect() for _ in range(12)]
    with door.connect() as honest:
        honest.sendall(REQUEST)
        assert door.came(1)
    assert silent[0].recv(10) == b""
    for connection in silent:
        connection.close()


def test_a_port_in_use_is_said(door: Open) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        door.doorway.open(*door.address)


@pytest.fixture
def full() -> Iterator[Open]:
    """A doorway behind which there is no room."""

    def refuse(_connection: socket.socket, _caller: Caller) -> None:
        raise NoRoom("full.")

    made = Open(seconds=30, hand_over=refuse)
    yield made
    made.close()


@pytest.mark.parametrize("length", [200, 200_000])
def test_without_room_a_request_is_rejected_for_now_and_can_read_so(full: Open, length: int) -> None:
    """Also one that is still being sent, which must not be cut off before its sender has read the answer."""
    request = struct.pack(">BxL", 1, length) + bytes(length)
    with full.connect() as peer:
        peer.sendall(request[:100])
        time.sleep(0.1)
        peer.sendall(request[100:])
        assert peer.recv(100, socket.MSG_WAITALL) == bytes([3, 0, 0, 0, 0, 4, 0, 2, 3, 2])


def test_without_room_what_is_no_request_is_closed(full: Open) -> None:
    with full.connect() as peer:
        peer.sendall(bytes([0x16, 3, 1, 0, 200]) + bytes(200))
        with pytest.raises(ConnectionResetError):
            assert peer.recv(100) == b"closed without a word"


def test_who_does_not_leave_when_turned_away_is_closed(full: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.doorway._LEAVE_SECONDS", 0.3)
    with full.connect() as peer:
        peer.sendall(REQUEST)
        assert peer.recv(100, socket.MSG_WAITALL)[:1] == b"\x03"
        until = time.monotonic() + 10
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while time.monotonic() < until:
                peer.send(b"x")
                time.sleep(0.05)


def test_of_many_that_do_not_leave_the_first_are_closed(full: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.doorway._MOST_LEAVING", 3)
    peers = [full.connect() for _ in range(6)]
    for peer in peers:
        peer.sendall(REQUEST)
        assert peer.recv(100, socket.MSG_WAITALL)[:1] == b"\x03"
    assert len(full.doorway._leaving) == 3
    for peer in peers:
        peer.close()
