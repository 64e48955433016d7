"""Options of the DICOM node: who may call and be called, TLS, storage commitment, earlier images."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from config.settings.base import AETitle, CharacterSet, Network, Port, Section


class Right(StrEnum):
    """What a peer may ask of this node."""

    ECHO = "echo"
    STORE = "store"
    COMMIT = "commit"


class Peer(Section):
    """A DICOM node: where it calls from, what it may do, and where it is called.

    Attributes:
        ae_title: its AE title, in both directions.
        address: the address or network that it calls from.
        may: what it may ask of this node.
        tls: whether it is accepted over TLS alone, and called over TLS.
        certificate_name: name that its certificate must carry (a DNS name of its, or its common name); "" = any.
        host: where it is called; "" = its `address`.
        port: where it is called; 0 = never.
    """

    ae_title: AETitle
    address: Network
    may: tuple[Right, ...] = tuple(Right)
    tls: bool = False
    certificate_name: str = ""
    host: str = ""
    port: Port = 0

    @model_validator(mode="after")
    def _has_one_address_to_call(self) -> Peer:
        if self.port and not self.host and ipaddress.ip_network(self.address, strict=False).num_addresses > 1:
            raise ValueError("a peer with a port and a network as its address needs a host, by which it is called")
        return self

    @property
    def called_host(self) -> str:
        """Where this node calls it: a host name or an IP address."""
        return self.host or str(ipaddress.ip_network(self.address, strict=False).network_address)


class Dicom(Section):
    """The listener."""

    ae_title: AETitle
    port: Port
    host: str
    peers: tuple[Peer, ...]
    max_pdu: int = Field(ge=4096, le=1 << 20)
    max_associations: int = Field(ge=1, le=1000)
    max_associations_per_peer: int = Field(ge=1, le=1000)
    processes: int = Field(ge=0, le=64)
    accept_any_storage: bool
    idle_seconds: float = Field(gt=0)
    default_character_set: CharacterSet
    low_space_mib: int = Field(ge=0)
    min_free_mib: int = Field(ge=0)

    @property
    def bind_host(self) -> str:
        """The address to bind: loopback while nobody but this machine may send."""
        if self.host != "auto":
            return self.host
        return "0.0.0.0" if self.peers else "127.0.0.1"


class Tls(Section):
    """Encrypted associations with certificates on both sides."""

    port: Port
    certificate: str
    key: str
    authorities: str

    @model_validator(mode="after")
    def _is_whole(self) -> Tls:
        given = [bool(value) for value in (self.certificate, self.key, self.authorities)]
        if any(given) != all(given) or (self.port and not all(given)):
            raise ValueError("TLS needs all three of certificate, key and authorities")
        return self

    @property
    def is_set(self) -> bool:
        """Whether there are certificates to work with."""
        return bool(self.certificate)


class CommitmentOptions(Section):
    """Storage commitment."""

    retry_days: int = Field(ge=1, le=365)


class Priors(Section):
    """Earlier images from the PACS."""

    peer: Annotated[str, StringConstraints(strip_whitespace=True, max_length=16)]
    retrieve: Literal["move", "get"]
    modalities: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")], ...] = Field(min_length=1)
    body_parts: tuple[str, ...]
    years: int = Field(ge=1, le=100)
    studies: int = Field(ge=1, le=1000)
    series_per_minute: int = Field(ge=1, le=6000)
    hours: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]
    timeout_seconds: float = Field(gt=0)
    retry_days: int = Field(ge=1, le=365)
