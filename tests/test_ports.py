"""Ports for a test's servers are not given away before the server has started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.ports import FIRST, free_port

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_no_port_is_given_twice() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports) and min(ports) >= FIRST


@pytest.mark.skipif(not RANGE.exists(), reason="this system does not say which ports it hands out")
def test_no_connection_is_given_the_port_meanwhile() -> None:
    low, high = (int(part) for part in RANGE.read_text().split())
    if low <= FIRST and high >= 65_535:
        pytest.skip("this system hands out all ports")
    assert not any(low <= free_port() <= high for _ in range(50))


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_used_on_any_address_is_passed_over(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used, free = free_port(), free_port()
    monkeypatch.setattr("tests.ports._ports", iter([used, free]))
    with socket.create_server((address, used)):
        assert free_port() == free
