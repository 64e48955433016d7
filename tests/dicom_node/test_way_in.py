"""Connections that must wait: in line, at no cost, let in in order, and forgotten when their peer has gone."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from dicom_node.way_in import Caller, NotYet
from tests.dicom_node.doors import REQUEST, Open

# For now, by the presentation related provider, since a local limit is exceeded (PS3.8 9.3.4).
REJECTION = struct.pack(">BxLxBBB", 3, 4, 2, 3, 2)
RESET = struct.pack("ii", 1, 0)


class Gate:
    """Lets nobody in before it is opened, then everybody; notes when it was asked."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked = 0
        self.ports: list[int] = []
        self.connections: list[socket.socket] = []

    def hand_over(self, connection: socket.socket, caller: Caller) -> None:
        self.asked += 1
        if not self.open.is_set():
            raise NotYet("somebody", 0.05)
        self.ports.append(caller.port)
        self.connections.append(connection)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    for connection in made.connections:
        connection.close()


def door_of(gate: Gate, seconds: float) -> Iterator[Open]:
    made = Open(seconds, gate.hand_over)
    yield made
    made.close()


@pytest.fixture
def door(gate: Gate) -> Iterator[Open]:
    yield from door_of(gate, 30)


@pytest.fixture
def impatient(gate: Gate) -> Iterator[Open]:
    yield from door_of(gate, 0.5)


def asking(door: Open) -> socket.socket:
    peer = door.connect()
    peer.sendall(REQUEST)
    return peer


def wait_for(gate: Gate, asked: int) -> None:
    end = time.monotonic() + 10
    while gate.asked < asked and time.monotonic() < end:
        time.sleep(0.01)
    assert gate.asked >= asked


def wait_for_connections(gate: Gate, count: int) -> None:
    end = time.monotonic() + 10
    while len(gate.ports) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(gate.ports) == count


def test_who_must_wait_is_let_in_later_in_order_and_unread(door: Open, gate: Gate) -> None:
    peers = [asking(door) for _ in range(5)]
    wait_for(gate, 8)
    assert gate.ports == []
    gate.open.set()
    wait_for_connections(gate, 5)
    assert gate.ports == [peer.getsockname()[1] for peer in peers]
    assert gate.connections[0].recv(1000, socket.MSG_WAITALL | socket.MSG_PEEK | socket.MSG_DONTWAIT) == REQUEST
    for peer in peers:
        peer.close()


def test_of_a_line_only_the_first_is_tried(door: Open, gate: Gate) -> None:
    peers = [asking(door) for _ in range(50)]
    wait_for(gate, 50)
    asked = gate.asked
    time.sleep(0.5)
    assert gate.asked - asked <= 11, "one each 0.05 s"
    for peer in peers:
        peer.close()


def test_waiting_takes_no_processor_time(door: Open, gate: Gate) -> None:
    peers = [asking(door) for _ in range(200)]
    wait_for(gate, 200)
    before = psutil.Process().cpu_times()
    time.sleep(1.0)
    after = psutil.Process().cpu_times()
    assert after.user + after.system - before.user - before.system < 0.3
    for peer in peers:
        peer.close()


def test_who_has_gone_meanwhile_is_not_let_in(door: Open, gate: Gate) -> None:
    reset, closed, patient = (asking(door) for _ in range(3))
    wait_for(gate, 3)
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    reset.close()
    closed.close()
    gate.open.set()
    wait_for_connections(gate, 1)
    time.sleep(0.2)
    assert gate.ports == [patient.getsockname()[1]]
    patient.close()


def test_who_has_waited_too_long_is_rejected_for_now(impatient: Open, gate: Gate) -> None:
    with asking(impatient) as peer:
        assert peer.recv(100) == REJECTION
    assert gate.ports == []


def test_those_in_line_do_not_keep_others_out(door: Open, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.doorway.MOST_WAITING", 5)
    silent = door.connect()
    waiting = [asking(door) for _ in range(12)]
    # Room is made by those in line, not by the one that came before them and has not asked yet.
    assert waiting[0].recv(100) == REJECTION
    gate.open.set()
    silent.sendall(REQUEST)
    end = time.monotonic() + 10
    while silent.getsockname()[1] not in gate.ports and time.monotonic() < end:
        time.sleep(0.01)
    assert silent.getsockname()[1] in gate.ports
    for peer in (silent, *waiting):
        peer.close()
