"""TLS for associations (PS3.15 B.12): certificates on both sides, read again when their files change."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

from config.errors import ConfigurationError
from config.settings import Tls

logger = logging.getLogger(__name__)

# RFC 9325 4.2: forward secrecy and authenticated encryption; TLS 1.3 has suites of its own, all of that kind.
CIPHERS = "ECDHE+AESGCM"

_Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    """This node's certificate and the authorities it trusts, as TLS contexts for both directions.

    A context is made anew when one of the three files has changed. While the new files cannot be used, for example
    because one of them is still being written, the last good ones stay in use and the log says so.

    Raises:
        ConfigurationError: the files cannot be used at the start.
    """

    def __init__(self, options: Tls) -> None:
        self._paths = tuple(Path(path) for path in (options.certificate, options.key, options.authorities))
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._accepting, self._calling = self._load()

    def accepting(self) -> ssl.SSLContext:
        """Context for connections that come in."""
        self._refresh()
        return self._accepting

    def calling(self) -> ssl.SSLContext:
        """Context for connections that this node opens; names are compared by `names_in`, not by the context."""
        self._refresh()
        return self._calling

    def _refresh(self) -> None:
        with self._lock:
            try:
                stamp = self._look()
                if stamp != self._stamp:
                    self._accepting, self._calling = self._load()
                    logger.info("The TLS certificates were read again.")
                    self._stamp = stamp
            except ConfigurationError as error:
                logger.error("The changed TLS files cannot be used, the earlier ones stay in use: %s", error)

    def _look(self) -> _Stamp:
        try:
            found = [path.stat() for path in self._paths]
        except OSError as error:
            raise ConfigurationError(f"The TLS file {error.filename} cannot be read: {error.strerror}.") from error
        return tuple((entry.st_mtime_ns, entry.st_size, entry.st_ino) for entry in found)

    def _load(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        return self._context(ssl.PROTOCOL_TLS_SERVER), self._context(ssl.PROTOCOL_TLS_CLIENT)

    def _context(self, protocol: int) -> ssl.SSLContext:
        certificate, key, authorities = self._paths
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
        try:
            context.set_ciphers(CIPHERS)
            context.load_cert_chain(certificate, key, password=_no_passphrase)
            context.load_verify_locations(authorities)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"The TLS certificate {certificate}, its key {key} and the authorities {authorities} cannot be used "
                f"together: {why(error)}."
            ) from error
        return context


def names_of_peer(connection: socket.socket | None) -> frozenset[str] | None:
    """The names in the certificate that the peer of a connection has shown; None without TLS."""
    return names_in(connection.getpeercert()) if isinstance(connection, ssl.SSLSocket) else None


def names_in(certificate: Any) -> frozenset[str]:
    """The names that a certificate carries, in lower case: its DNS names and its subject's common name.

    Args:
        certificate: as `ssl.SSLSocket.getpeercert` returns it.
    """
    subject = [pair for group in certificate.get("subject", ()) for pair in group]
    names = [value for kind, value in subject if kind == "commonName"]
    names += [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    return frozenset(name.lower() for name in names)


def _no_passphrase() -> str:
    """Instead of a question on the terminal, which nobody would answer."""
    raise ValueError("the key is protected by a passphrase")


def why(error: Exception) -> str:
    """What went wrong, in OpenSSL's or the kernel's words."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not a PEM file").replace("_", " ").lower()
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
