from __future__ import annotations

import doctest

import pytest

from config.settings import Peer, Right
from dicom_node import peers
from dicom_node.peers import Caller, Peers, Rejection

LISTED = Peers(
    [
        Peer(ae_title="PACS", address="10.0.0.5"),
        Peer(ae_title="WARD", address="10.1.0.0/16"),
        Peer(ae_title="SIX", address="2001:db8::/32"),
        Peer(ae_title="SAFE", address="10.0.0.6", tls=True, certificate_name="safe.example"),
        Peer(ae_title="TWICE", address="10.0.0.0/24", may=("echo",)),
        Peer(ae_title="TWICE", address="10.0.0.0/8", tls=True),
    ]
)


@pytest.mark.parametrize(
    ("title", "address", "permitted"),
    [
        ("PACS", "10.0.0.5", True),
        ("PACS ", "10.0.0.5", True),
        ("PACS", "::ffff:10.0.0.5", True),
        ("PACS", "10.0.0.6", False),
        ("pacs", "10.0.0.5", False),
        ("WARD", "10.0.0.5", False),
        ("WARD", "10.1.200.3", True),
        ("WARD", "10.2.0.1", False),
        ("SIX", "2001:db8::17", True),
        ("SIX", "2001:db9::17", False),
        ("PACS", "127.0.0.1", False),
        ("PACS", "not an address", False),
    ],
)
def test_title_and_address_must_both_be_known(title: str, address: str, permitted: bool) -> None:
    expected = frozenset(Right) if permitted else Rejection.UNKNOWN
    assert LISTED.admit(Caller(title, address)) == expected


@pytest.mark.parametrize(("address", "permitted"), [("127.0.0.1", True), ("::1", True), ("192.168.0.1", False)])
def test_without_peers_only_this_machine_may_send(address: str, permitted: bool) -> None:
    assert Peers([]).admit(Caller("ANYONE", address)) == (frozenset(Right) if permitted else Rejection.UNKNOWN)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, Rejection.NOT_SECURED),
        ({"other.example"}, Rejection.OTHER_CERTIFICATE),
        ({"safe.example", "other.example"}, frozenset(Right)),
    ],
)
def test_a_peer_with_tls_must_show_its_own_certificate(
    names: set[str] | None, expected: frozenset[Right] | Rejection
) -> None:
    assert LISTED.admit(Caller("SAFE", "10.0.0.6", None if names is None else frozenset(names))) == expected


def test_a_peer_listed_twice_may_come_either_way() -> None:
    assert LISTED.admit(Caller("TWICE", "10.0.0.9")) == {Right.ECHO}
    assert LISTED.admit(Caller("TWICE", "10.9.0.9")) == Rejection.NOT_SECURED
    assert LISTED.admit(Caller("TWICE", "10.9.0.9", frozenset())) == frozenset(Right)


def test_the_example_holds() -> None:
    assert doctest.testmod(peers).failed == 0 < doctest.testmod(peers).attempted
