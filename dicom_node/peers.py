"""Who may call and what for: an association is accepted from a known AE title at a known address alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from config.settings import Peer, Right


class Rejection(Enum):
    """Why an association is rejected: result, source and reason of the A-ASSOCIATE-RJ (PS3.8 9.3.4), and in words.

    All are permanent and by the service user. The standard has no reason for a missing certificate; "no reason given"
    tells a known peer that its title is right.
    """

    UNKNOWN = (1, 1, 3), "no peer of this AE title at this address is listed in dicom.peers"
    NOT_SECURED = (1, 1, 1), "this peer is accepted over TLS alone (tls = true in dicom.peers)"
    OTHER_CERTIFICATE = (1, 1, 1), "its certificate does not carry the peer's certificate_name"

    @property
    def codes(self) -> tuple[int, int, int]:
        """Result, source and reason."""
        return self.value[0]

    @property
    def words(self) -> str:
        """For the administrator."""
        return self.value[1]


@dataclass(frozen=True)
class Caller:
    """Who asks for an association.

    Attributes:
        ae_title: what it calls itself. address: its IP address.
        names: names in its certificate, in lower case; None without TLS.
    """

    ae_title: str
    address: str
    names: frozenset[str] | None = None


class Peers:
    """The known peers of one system; with none configured, any AE title on this machine may do everything.

    Example:
        >>> peers = Peers([Peer(ae_title="PACS", address="10.0.0.0/24", may=("echo", "store"))])
        >>> sorted(peers.admit(Caller("PACS", "10.0.0.7")))
        [<Right.ECHO: 'echo'>, <Right.STORE: 'store'>]
        >>> peers.admit(Caller("PACS", "10.0.1.7"))
        <Rejection.UNKNOWN: ((1, 1, 3), 'no peer of this AE title at this address is listed in dicom.peers')>
        >>> len(Peers([]).admit(Caller("ANY", "127.0.0.1")))
        3
    """

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._peers = [(peer, ipaddress.ip_network(peer.address, strict=False)) for peer in peers]

    def titles_at(self, address: str) -> int | None:
        """How many AE titles may call from an address; None = any, as long as no peers are configured."""
        place = _address(address)
        if not self._peers:
            return None
        return len({peer.ae_title for peer, network in self._peers if place is not None and place in network})

    def admit(self, caller: Caller) -> frozenset[Right] | Rejection:
        """What a caller may do, or why it may not even associate; case counts in AE titles.

        Where several peers have its title and address, one that it satisfies is enough.
        """
        place = _address(caller.address)
        if not self._peers:
            return frozenset(Right) if place is not None and place.is_loopback else Rejection.UNKNOWN
        found: frozenset[Right] | Rejection = Rejection.UNKNOWN
        for peer, network in self._peers:
            if place is None or place not in network or caller.ae_title.strip() != peer.ae_title:
                continue
            found = _judge(peer, caller)
            if isinstance(found, frozenset):
                return found
        return found


def _judge(peer: Peer, caller: Caller) -> frozenset[Right] | Rejection:
    if caller.names is None:
        return Rejection.NOT_SECURED if peer.tls else frozenset(peer.may)
    if peer.certificate_name and peer.certificate_name.lower() not in caller.names:
        return Rejection.OTHER_CERTIFICATE
    return frozenset(peer.may)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        place = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(place, ipaddress.IPv6Address) and place.ipv4_mapped is not None:
        return place.ipv4_mapped
    return place
