from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from config.errors import ConfigurationError
from tests.dicom_node.doors import REQUEST, Open


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
