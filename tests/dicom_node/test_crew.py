"""The processes of a listener: nobody gets more connections than its share, and what fails names no patient."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from config.logs import start_logging
from dicom_node.crew import Channel, Crew, Shares
from dicom_node.doorway import Caller, Doorway, NoRoom
from tests.dicom_node.doors import REQUEST

SECONDS = 20.0


def hold(channel: Channel) -> None:
    """Keep each connection until its peer speaks, then end it."""
    while (given := channel.next_connection()) is not None:
        connection, caller = given
        connection.recv(1)
        connection.close()
        channel.say_ended(caller.host)


@pytest.fixture
def doorway() -> Iterator[Doorway]:
    made = Doorway(lambda *_: None)
    yield made
    made.close()


def knock(crew: Crew, host: str) -> socket.socket | None:
    """The peer's end of a connection from an address; None when it was not taken."""
    ours, theirs = socket.socketpair()
    try:
        crew.hand_over(ours, Caller(host, 1, 104))
    except NoRoom:
        ours.close()
        theirs.close()
        return None
    return theirs


def test_one_owner_cannot_take_all_connections_and_gets_its_share_back(doorway: Doorway) -> None:
    # Two hosts that nobody knows have one share together; a gateway has a larger one.
    shares = Shares(
        6, lambda host: "" if host.startswith("192.") else host, lambda owner: 3 if owner == "10.0.0.3" else 2
    )
    crew = Crew(doorway, 1, shares, hold, lambda _: None)
    try:
        strangers = [knock(crew, f"192.0.2.{number}") for number in range(4)]
        assert [one is not None for one in strangers] == [True, True, False, False]
        peers = [knock(crew, host) for host in ("10.0.0.3", "10.0.0.3", "10.0.0.3", "10.0.0.3")]
        assert [one is not None for one in peers] == [True, True, True, False]
        others = [knock(crew, host) for host in ("10.0.0.1", "10.0.0.2")]
        assert [one is not None for one in others] == [True, False], "six are open in all"
        assert strangers[0] is not None
        strangers[0].sendall(b"x")
        until = time.monotonic() + SECONDS
        while (again := knock(crew, "192.0.2.9")) is None and time.monotonic() < until:
            doorway.look(0.05)
        assert again is not None
    finally:
        crew.stop(SECONDS)


def tell(channel: Channel) -> None:
    """Tell each peer which process it has come to, and end its connection when it speaks."""

    def serve(connection: socket.socket, caller: Caller) -> None:
        connection.sendall(str(os.getpid()).encode())
        connection.recv(1)
        connection.close()
        channel.say_ended(caller.host)

    while (given := channel.next_connection()) is not None:
        threading.Thread(target=serve, args=given, daemon=True).start()


def process_of(peer: socket.socket | None) -> str:
    assert peer is not None
    peer.settimeout(SECONDS)
    return peer.recv(20).decode()


def wait_until_open(crew: Crew, doorway: Doorway, count: int) -> None:
    until = time.monotonic() + SECONDS
    while (found := sum(hand.open.total() for hand in crew._hands)) != count and time.monotonic() < until:
        doorway.look(0.05)
    assert found == count


def test_one_owners_connections_are_shared_evenly_whatever_others_have_open(doorway: Doorway) -> None:
    crew = Crew(doorway, 2, Shares(20, str, lambda _: 20), tell, lambda _: None)
    try:
        others = {peer: process_of(peer) for peer in (knock(crew, "10.0.0.1") for _ in range(6))}
        assert sorted(Counter(others.values()).values()) == [3, 3]
        busy = next(iter(others.values()))
        for peer in [peer for peer, process in others.items() if peer and process != busy]:
            peer.sendall(b"x")
        wait_until_open(crew, doorway, 3)
        mine = [knock(crew, "10.0.0.2") for _ in range(4)]
        assert sorted(Counter(map(process_of, mine)).values()) == [2, 2]
    finally:
        crew.stop(SECONDS)


def test_connections_that_end_at_once_burden_all_processes_alike(doorway: Doorway) -> None:
    crew = Crew(doorway, 2, Shares(20, str, lambda _: 20), tell, lambda _: None)
    try:
        found = []
        for _ in range(4):
            peer = knock(crew, "10.0.0.1")
            found.append(process_of(peer))
            assert peer is not None
            peer.sendall(b"x")
            wait_until_open(crew, doorway, 0)
        assert sorted(Counter(found).values()) == [2, 2]
    finally:
        crew.stop(SECONDS)


def fail(channel: Channel) -> None:
    # Runs in the forked process, whose log alone is set up.
    start_logging()
    raise KeyError(f"Doe{chr(94)}Jane in {channel}")


def test_a_process_that_fails_says_where_and_names_nobody(doorway: Doorway, capfd: pytest.CaptureFixture[str]) -> None:
    deaths: list[int] = []
    crew = Crew(doorway, 1, Shares(5, str, lambda _: 5), fail, deaths.append)
    try:
        until = time.monotonic() + SECONDS
        while not deaths and time.monotonic() < until:
            doorway.look(0.05)
        assert deaths
    finally:
        crew.stop(SECONDS)
    said = capfd.readouterr().err
    assert "KeyError" in said and "in fail" in said and "Doe^Jane" not in said


def pid_told(connection: socket.socket) -> int:
    connection.settimeout(SECONDS)
    return int(connection.recv(20))


def test_who_waits_at_the_door_is_still_let_in_when_a_process_is_replaced() -> None:
    """The new process has a copy of all that is open; closing it must not take it from the one that accepts."""
    given: list[socket.socket] = []
    doorway = Doorway(lambda connection, _: given.append(connection))
    died: list[int] = []
    crew = Crew(doorway, 1, Shares(9, lambda host: host, lambda _: 9), tell, died.append)
    address = doorway.open("127.0.0.1", 0)
    try:
        with socket.create_connection(address) as peer:
            doorway.look(1.0)
            first = knock(crew, "10.0.0.1")
            assert first is not None
            with first:
                os.kill(pid_told(first), signal.SIGKILL)
            until = time.monotonic() + SECONDS
            while not died and time.monotonic() < until:
                doorway.look(0.05)
            assert len(died) == 1
            second = knock(crew, "10.0.0.1")
            assert second is not None
            with second:
                assert pid_told(second) != died[0]
            peer.sendall(REQUEST)
            while not given and time.monotonic() < until:
                doorway.look(0.05)
            assert len(given) == 1
    finally:
        crew.stop(SECONDS)
        doorway.close()
        for connection in given:
            connection.close()
