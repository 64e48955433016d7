"""Certificate authorities of a test, and what they issue, as PEM files."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """A certificate authority with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._authority = trustme.CA()
        self._folder = folder
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for a DNS name and its private key."""
        issued = self._authority.issue_cert(name, common_name=name)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return certificate, key

    def options(self, name: str, port: int = 0) -> dict[str, str | int]:
        """The section `tls` of a node with that name."""
        certificate, key = self.issue(name)
        return {"port": port, "certificate": str(certificate), "key": str(key), "authorities": str(self.file)}

    def client(self, name: str) -> ssl.SSLContext:
        """What a peer with that name connects with."""
        certificate, key = self.issue(name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(self.file)
        return context
