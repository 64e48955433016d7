"""Who may send: an association is accepted from a known AE title at a known address alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from config.settings import Peer


class Peers:
    """The known peers of one system; with none configured, any AE title on this machine.

    Example:
        >>> peers = Peers([Peer(ae_title="PACS", address="10.0.0.0/24")])
        >>> peers.permits("PACS", "10.0.0.7"), peers.permits("PACS", "10.0.1.7"), peers.permits("XRAY", "10.0.0.7")
        (True, False, False)
        >>> Peers([]).permits("ANY", "127.0.0.1"), Peers([]).permits("ANY", "10.0.0.7")
        (True, False)
    """

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._networks = [(peer.ae_title.strip(), ipaddress.ip_network(peer.address, strict=False)) for peer in peers]

    def permits(self, ae_title: str, address: str) -> bool:
        """Whether a node that calls itself `ae_title` may send from this IP address; case counts in both."""
        try:
            place = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(place, ipaddress.IPv6Address) and place.ipv4_mapped is not None:
            place = place.ipv4_mapped
        if not self._networks:
            return place.is_loopback
        title = ae_title.strip()
        return any(title == known and place in network for known, network in self._networks)
