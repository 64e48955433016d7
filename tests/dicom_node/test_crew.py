"""The processes of a listener: nobody gets more connections than its share, and what fails names no patient."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from config.logs import start_logging
from dicom_node.crew import Channel, Crew, Shares
from dicom_node.doorway import Caller, Doorway, NoRoom

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
