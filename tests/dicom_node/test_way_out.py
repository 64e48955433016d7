"""Peers for whom there is no room: they can read so, over TLS too, and whoever does not leave is closed."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.settings import Tls
from dicom_node.doorway import Caller, NoRoom
from dicom_node.tls import Certificates
from dicom_node.way_out import HANDSHAKES_A_SECOND
from tests.dicom_node.certificates import Authority
from tests.dicom_node.doors import REQUEST, Open
from tests.peers import dcmtk

REJECTION = bytes([3, 0, 0, 0, 0, 4, 0, 2, 3, 2])


def refuse(_connection: socket.socket, _caller: Caller) -> None:
    raise NoRoom("full.")


@pytest.fixture
def full() -> Iterator[Open]:
    """A doorway behind which there is no room."""
    made = Open(seconds=30, hand_over=refuse)
    yield made
    made.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "hospital")


@pytest.fixture
def secured(authority: Authority) -> Iterator[Open]:
    """The same for TLS."""
    certificates = Certificates(Tls.model_validate(authority.options("lungprint.example")))
    made = Open(seconds=30, hand_over=refuse, certificates=certificates)
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
        assert peer.recv(100, socket.MSG_WAITALL) == REJECTION


def test_without_room_what_is_no_request_is_closed(full: Open) -> None:
    with full.connect() as peer:
        peer.sendall(bytes([0x16, 3, 1, 0, 200]) + bytes(200))
        with pytest.raises(ConnectionResetError):
            assert peer.recv(100) == b"closed without a word"


def test_who_does_not_leave_when_turned_away_is_closed(full: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.way_out._LEAVE_SECONDS", 0.3)
    with full.connect() as peer:
        peer.sendall(REQUEST)
        assert peer.recv(100, socket.MSG_WAITALL)[:1] == b"\x03"
        until = time.monotonic() + 10
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while time.monotonic() < until:
                peer.send(b"x")
                time.sleep(0.05)


def test_of_many_that_do_not_leave_the_first_are_closed(full: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.way_out._MOST_LEAVING", 3)
    peers = [full.connect() for _ in range(6)]
    for peer in peers:
        peer.sendall(REQUEST)
        assert peer.recv(100, socket.MSG_WAITALL)[:1] == b"\x03"
    assert len(full.doorway._way_out) == 3
    for peer in peers:
        peer.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("length", [200, 200_000])
def test_without_room_a_request_over_tls_is_rejected_for_now(
    secured: Open, authority: Authority, version: ssl.TLSVersion, length: int
) -> None:
    context = authority.client("pacs.example")
    context.minimum_version = context.maximum_version = version
    with context.wrap_socket(secured.connect()) as peer:
        peer.sendall(struct.pack(">BxL", 1, length) + bytes(length))
        answer = b""
        while len(answer) < len(REJECTION) and (more := peer.recv(100)):
            answer += more
        assert answer == REJECTION
        assert peer.recv(100) == b"", "nothing more comes"
    assert is_empty(secured)


def test_echoscu_over_tls_reads_that_there_is_no_room(secured: Open, authority: Authority) -> None:
    certificate, key = authority.issue("pacs.example")
    files = [str(key), str(certificate), "+cf", str(authority.file)]
    host, port = secured.address
    said = subprocess.run(
        [dcmtk("echoscu"), "-v", "+tls", *files, "-aec", "LUNGPRINT", host, str(port)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Rejected Transient" in said.stdout + said.stderr and "Local Limit Exceeded" in said.stdout + said.stderr


def test_without_room_strangers_and_the_silent_are_closed_over_tls(
    secured: Open, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.way_out._LEAVE_SECONDS", 0.5)
    stranger = Authority(tmp_path / "elsewhere").client("pacs.example")
    stranger.load_verify_locations(authority.file)
    assert not rejected(secured, stranger)
    with secured.connect() as half:
        # The head of a handshake, and no more.
        half.sendall(bytes([0x16, 3, 1, 2, 0]) + bytes(10))
        assert is_closed(half)
    with authority.client("pacs.example").wrap_socket(secured.connect()) as silent:
        assert is_closed(silent)
    with authority.client("pacs.example").wrap_socket(secured.connect()) as other:
        other.sendall(b"GET / HTTP/1.1")
        assert is_closed(other)
    assert is_empty(secured)


def is_closed(peer: socket.socket) -> bool:
    """Whether it is closed without a word."""
    try:
        return peer.recv(100) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def test_of_many_over_tls_so_many_handshakes_are_begun_in_a_second(
    secured: Open, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.way_out.time", SimpleNamespace(monotonic=lambda: 1000.5))
    context = authority.client("pacs.example")
    answers = [rejected(secured, context) for _ in range(HANDSHAKES_A_SECOND + 2)]
    assert answers == [True] * HANDSHAKES_A_SECOND + [False] * 2
    monkeypatch.setattr("dicom_node.way_out.time", SimpleNamespace(monotonic=lambda: 1001.0))
    assert rejected(secured, context)


def rejected(door: Open, context: ssl.SSLContext) -> bool:
    try:
        with context.wrap_socket(door.connect()) as peer:
            peer.sendall(REQUEST)
            return peer.recv(100) == REJECTION
    except OSError:
        return False


def is_empty(door: Open) -> bool:
    until = time.monotonic() + 10
    while len(door.doorway._way_out) and time.monotonic() < until:
        time.sleep(0.01)
    return len(door.doorway._way_out) == 0
