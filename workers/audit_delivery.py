"""Brings audit messages to a file and, by syslog, to a repository; what one does not take waits in the database."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from archive.audit_export import next_batch, record_told
from archive.database import Database
from archive.exclusive import take
from archive.models import now
from config.errors import LungprintError
from config.paths import DataDir
from config.settings import Atna, Settings
from dicom_node.audit_messages import Source, messages_of

logger = logging.getLogger(__name__)

# Facility 10 (security/authorization), severity 5 (notice): RFC 5424 6.2.1 and IHE ITI TF-2 3.20.
PRIORITY = 10 * 8 + 5
MESSAGE_ID = "DICOM+RFC3881"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TIMEOUT_SECONDS = 20.0
# How long one look goes on while there is more to bring.
LONGEST_SECONDS = 60.0

Write = Callable[[Sequence[bytes]], None]


class NotTaken(LungprintError):
    """A receiver did not take audit messages; they wait in the database."""


def deliver(database: Database, settings: Settings, folder: DataDir) -> int:
    """Bring each receiver what it does not know yet, in order; returns how many messages were taken.

    A receiver that is away keeps nobody else waiting. After a crash a receiver may get a few messages again, never too
    few. Two processes never do this at once.
    """
    options = settings.atna
    receivers: dict[str, Write] = {}
    if options.file:
        receivers["file"] = lambda messages: append(folder, messages)
    if options.syslog_host:
        receivers["syslog"] = lambda messages: send(settings, messages)
    taken = 0
    alone = take(database, folder, "audit-messages")
    if alone is None:
        return 0
    try:
        for receiver, write in receivers.items():
            try:
                taken += _bring(database, settings, receiver, write)
            except NotTaken as error:
                logger.warning("audit messages wait: %s", error)
    finally:
        alone.close()
    return taken


def append(folder: DataDir, messages: Sequence[bytes], at: datetime | None = None) -> None:
    """Add messages to the day's file, a line each; on return they are on the disk.

    Raises:
        NotTaken: the disk is full, or the folder cannot be written.
    """
    place = folder.audit_messages / f"{(at or now()).strftime('%Y-%m-%d')}.xml"
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            size = file.tell()
            try:
                file.write(b"".join(message + b"\n" for message in messages))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                # No half line stays before the messages that come next.
                os.truncate(place, size)
                raise
    except OSError as error:
        raise NotTaken(f"the file in {folder.audit_messages} cannot be written ({error.strerror})") from error


def send(settings: Settings, messages: Sequence[bytes]) -> None:
    """Send messages by syslog over TLS (RFC 5425), or over TCP with the same framing (RFC 6587 3.4.1).

    Syslog has no acknowledgements: that the receiver closes the connection in order after the last message, and does
    not reset it, is all one can know.

    Raises:
        NotTaken: it cannot be reached or trusted, or ends the connection before all is sent.
    """
    options = settings.atna
    frames = b"".join(_framed(message) for message in messages)
    try:
        with socket.create_connection((options.syslog_host, options.syslog_port), timeout=TIMEOUT_SECONDS) as plain:
            if not options.syslog_tls:
                plain.sendall(frames)
                plain.shutdown(socket.SHUT_WR)
                _wait_for_the_end(plain)
                return
            with _context(options, settings).wrap_socket(plain, server_hostname=options.syslog_host) as secure:
                secure.sendall(frames)
                _close(secure)
    except ssl.SSLError as error:
        raise NotTaken(f"the TLS connection to the syslog receiver failed ({error.reason or 'closed'})") from error
    except OSError as error:
        raise NotTaken(f"the syslog receiver cannot be reached ({type(error).__name__})") from error


def _bring(database: Database, settings: Settings, receiver: str, write: Write) -> int:
    source = Source(settings.dicom.ae_title, socket.gethostname(), settings.atna.site)
    until, taken = time.monotonic() + LONGEST_SECONDS, 0
    while time.monotonic() < until:
        batch = next_batch(database, receiver)
        if not len(batch):
            break
        messages = messages_of(batch.done, batch.received, batch.asked, source)
        if messages:
            write(messages)
        with database.write() as session:
            record_told(session, receiver, batch)
        taken += len(messages)
    return taken


def _framed(message: bytes) -> bytes:
    """A message with its syslog header, and its length before it (RFC 5424 6, RFC 5425 4.3)."""
    moment = now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    header = f"<{PRIORITY}>1 {moment} {socket.gethostname()} lungprint {os.getpid()} {MESSAGE_ID} - "
    content = header.encode("ascii", "replace") + BYTE_ORDER_MARK + message
    return f"{len(content)} ".encode() + content


def _context(options: Atna, settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.syslog_ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.tls.is_set:
            context.load_cert_chain(settings.tls.certificate, settings.tls.key)
    except OSError as error:
        raise NotTaken("the certificates in atna.syslog_ca_file or [tls] cannot be used") from error
    return context


def _close(secure: ssl.SSLSocket) -> None:
    """Say that this is all, and wait until the receiver says so too (RFC 5425 4.4)."""
    try:
        secure.unwrap()
    except TimeoutError:
        logger.debug("the syslog receiver does not close its side")
    except (ssl.SSLEOFError, ssl.SSLSyscallError):
        logger.debug("the syslog receiver closed without a word")
    except ssl.SSLError as error:
        # TLS 1.3 session tickets may still be on their way.
        if "APPLICATION_DATA_AFTER_CLOSE_NOTIFY" not in str(error):
            raise


def _wait_for_the_end(plain: socket.socket) -> None:
    try:
        while plain.recv(4096):
            pass
    except TimeoutError:
        logger.debug("the syslog receiver does not close its side")
