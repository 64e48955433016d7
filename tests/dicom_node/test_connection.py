from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.connection import ImageSocket, ReceivedData
from tests.dicom_node.sending import pdu


def test_received_values_are_those_of_the_pdu() -> None:
    primitive: P_DATA = ReceivedData(bytearray(pdu((3, b"abc"), (2, b"defg"))[6:])).to_primitive()
    assert [(cx, bytes(value)) for cx, value in primitive.presentation_data_value_list] == [
        (1, b"\x03abc"),
        (1, b"\x02defg"),
    ]


@pytest.mark.parametrize("body", [b"\x00", b"\x00\x00\x00\x01\x01\x02", b"\x00\x00\x00\x09\x01\x02", bytes(6)])
def test_impossible_lengths_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        ReceivedData(bytearray(body))


@pytest.fixture
def ends() -> Iterator[tuple[ImageSocket, socket.socket]]:
    """A connection on our side, and its peer's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_connection(door.getsockname()) as peer:
        connection, _ = door.accept()
        made = ImageSocket(Association(AE(), "acceptor"), connection, 20.0)
        yield made, peer
        made.forget()
        connection.close()


def test_who_waits_for_the_peer_is_woken_by_the_bell_once(ends: tuple[ImageSocket, socket.socket]) -> None:
    connection, peer = ends
    rung = threading.Event()

    def ring() -> None:
        rung.set()
        connection.ring()

    threading.Timer(0.2, ring).start()
    assert not connection.wait(600), "the peer has said nothing"
    assert rung.is_set(), "only the bell wakes us"
    begin = time.monotonic()
    assert not connection.wait(0.3)
    assert time.monotonic() - begin > 0.2, "the bell rang once"
    connection.ring()
    peer.sendall(b"data")
    assert connection.recv(4) == b"data", "a bell is no end of what is awaited"
    peer.sendall(b"more")
    assert connection.wait(10)


def test_a_bell_that_is_gone_may_be_rung(ends: tuple[ImageSocket, socket.socket]) -> None:
    connection, _ = ends
    bell = connection._bell
    os.fstat(bell)
    connection.forget()
    with pytest.raises(OSError):
        os.fstat(bell)
    connection.ring()
    connection.forget()
