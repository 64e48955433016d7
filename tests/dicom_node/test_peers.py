from __future__ import annotations

import doctest

import pytest

from config.settings import Peer
from dicom_node import peers
from dicom_node.peers import Peers

LISTED = Peers(
    [
        Peer(ae_title="PACS", address="10.0.0.5"),
        Peer(ae_title="WARD", address="10.1.0.0/16"),
        Peer(ae_title="SIX", address="2001:db8::/32"),
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
    assert LISTED.permits(title, address) is permitted


@pytest.mark.parametrize(("address", "permitted"), [("127.0.0.1", True), ("::1", True), ("192.168.0.1", False)])
def test_without_peers_only_this_machine_may_send(address: str, permitted: bool) -> None:
    assert Peers([]).permits("ANYONE", address) is permitted


def test_the_example_holds() -> None:
    assert doctest.testmod(peers).failed == 0 < doctest.testmod(peers).attempted
