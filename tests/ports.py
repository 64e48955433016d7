"""Ports for servers of a test, which no connection can take before the server has started."""

from __future__ import annotations

import random
import socket
from pathlib import Path

# From here on, clear of the ports that DICOM, HL7 and web servers use without being asked.
FIRST = 20_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _candidates() -> list[int]:
    """Ports in an order of this process's own, without those that the system hands out to connections by itself.

    Where it hands out all of them, all of them.
    """
    low, high = (int(part) for part in _EPHEMERAL.read_text().split()) if _EPHEMERAL.exists() else (49_152, 65_535)
    every = range(FIRST, 65_536)
    ours = [port for port in every if not low <= port <= high] or list(every)
    # Of its own even where a test has seeded the common generator, so that two runs side by side hardly ever meet.
    random.SystemRandom().shuffle(ours)
    return ours


_ports = iter(_candidates())


def free_port() -> int:
    """A TCP port that nobody uses now, on any address of this machine.

    No port is given twice by a process, and none is one that the system may give to a connection before the server
    has started, as `bind` to port 0 would.
    """
    found = next((port for port in _ports if _is_free(port)), None)
    assert found is not None, "no port is left to give"
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
