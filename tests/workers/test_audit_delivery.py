"""Audit messages brought to a file and to syslog receivers over TLS, rsyslog among them, away and back again."""

from __future__ import annotations

import fcntl
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from archive.audit import AuditAction, record
from archive.audit_export import next_batch
from archive.database import Database
from config.paths import DataDir
from config.settings import Settings, load_settings
from tests.archive.filing import file_image, file_patient
from tests.ports import free_port
from workers.audit_delivery import BYTE_ORDER_MARK, NotTaken, append, deliver

HEADER = re.compile(
    rb"<85>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ lungprint \d+ DICOM\+RFC3881 - " + BYTE_ORDER_MARK + rb"<\?xml"
)
RSYSLOGD = shutil.which("rsyslogd", path="/usr/sbin:/sbin:/usr/local/sbin")
# RFC 5425 as rsyslog receives it; what arrives is written as it came, a message a line.
RSYSLOG = """
global(workDirectory="{place}" maxMessageSize="64k" defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="{place}/ca.pem" defaultNetstreamDriverCertFile="{place}/server.pem"
  defaultNetstreamDriverKeyFile="{place}/server.key")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="raw" type="string" string="%rawmsg%\n")
template(name="taken" type="string" string="%app-name% %msgid% %syslogfacility% %syslogseverity%\n")
input(type="imtcp" port="{port}" address="127.0.0.1")
action(type="omfile" file="{place}/messages" template="raw")
action(type="omfile" file="{place}/taken" template="taken")
"""


class Repository(threading.Thread):
    """A syslog receiver over TLS (RFC 5425), or over TCP, that keeps each message of a connection that ended well."""

    def __init__(self, context: ssl.SSLContext | None, port: int = 0, reset_after: int | None = None) -> None:
        super().__init__()
        self.messages: list[bytes] = []
        self._context, self._reset_after = context, reset_after
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                if self._context is None:
                    self._read(connection)
                    continue
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    self._read(secure)

    def _read(self, connection: socket.socket) -> None:
        got = b""
        while part := connection.recv(65536):
            got += part
            if self._reset_after is not None and len(got) >= self._reset_after:
                # Closed at once and with unread data: the kernel answers with a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                connection.close()
                return
        while got:
            length, _, rest = got.partition(b" ")
            self.messages.append(rest[: int(length)])
            got = rest[int(length) :]
        if isinstance(connection, ssl.SSLSocket):
            connection.unwrap()

    def close(self) -> None:
        """Take no more; may be called twice."""
        if self._socket.fileno() >= 0:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        self.join()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    """A server's context that asks clients for nothing."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    return made


@pytest.fixture
def repository(context: ssl.SSLContext) -> Iterator[Repository]:
    made = Repository(context)
    made.start()
    yield made
    made.close()


def with_audit(folder: DataDir, tmp_path: Path, authority: trustme.CA, **options: Any) -> Settings:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    given = {"syslog_host": "127.0.0.1", "syslog_ca_file": str(ca_file), **options}
    return load_settings(folder.root, environ={}, flags={"atna": given})


@pytest.fixture
def trail(database: Database) -> None:
    """A sign-in, and an image that came in."""
    with database.write() as session:
        record(session, "anna", AuditAction.SIGNED_IN, address="10.0.0.9")
        file_image(session, file_patient(session, "P1", "山田^太郎"), calling_ae="CR1")


@pytest.mark.usefixtures("trail")
def test_each_message_is_a_line_of_the_day_s_private_file(database: Database, folder: DataDir) -> None:
    settings = load_settings(folder.root, environ={}, flags={"atna": {"file": True}})
    assert deliver(database, settings, folder) == 2
    assert deliver(database, settings, folder) == 0
    [day] = folder.audit_messages.iterdir()
    assert day.stat().st_mode & 0o777 == 0o600
    lines = day.read_text(encoding="utf-8").splitlines()
    assert ["110104" in lines[0], "110114" in lines[1], len(lines)] == [True, True, 2]
    assert "山田^太郎" in lines[0]


@pytest.mark.usefixtures("trail")
def test_a_repository_gets_framed_messages_over_tls(
    database: Database, folder: DataDir, tmp_path: Path, authority: trustme.CA, repository: Repository
) -> None:
    settings = with_audit(folder, tmp_path, authority, syslog_port=repository.port)
    assert deliver(database, settings, folder) == 2
    repository.close()
    assert len(repository.messages) == 2
    assert all(HEADER.match(message) and message.endswith(b"</AuditMessage>") for message in repository.messages)


@pytest.fixture
def rsyslog(tmp_path: Path, authority: trustme.CA) -> Iterator[tuple[Path, int]]:
    """A running rsyslog: the folder that its messages go to, and its port."""
    if RSYSLOGD is None:
        pytest.skip("rsyslog is not installed")
    place, port = tmp_path / "rsyslog", free_port()
    place.mkdir()
    authority.cert_pem.write_to_path(str(place / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(place / "server.pem"))
    certificate.private_key_pem.write_to_path(str(place / "server.key"))
    (place / "rsyslog.conf").write_text(RSYSLOG.format(place=place, port=port))
    command = [RSYSLOGD, "-n", "-f", str(place / "rsyslog.conf"), "-i", str(place / "pid")]
    with subprocess.Popen(command) as process:
        try:
            wait_for(lambda: is_open(port))
            yield place, port
        finally:
            process.terminate()


def is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until, "rsyslog does not do it"
        time.sleep(0.05)


@pytest.mark.usefixtures("trail")
def test_rsyslog_takes_every_message_over_tls(
    database: Database, folder: DataDir, tmp_path: Path, authority: trustme.CA, rsyslog: tuple[Path, int]
) -> None:
    place, port = rsyslog
    settings = with_audit(folder, tmp_path, authority, syslog_port=port)
    assert deliver(database, settings, folder) == 2
    taken, messages = place / "taken", place / "messages"
    wait_for(lambda: messages.exists() and messages.read_bytes().count(b"</AuditMessage>") == 2)
    # Facility "security or authorization" (10), severity "notice" (5), as PS3.15 A.6 has them.
    wait_for(lambda: taken.exists() and taken.read_text() == "lungprint DICOM+RFC3881 10 5\n" * 2)
    lines = messages.read_bytes().splitlines()
    assert all(HEADER.match(line) and line.endswith(b"</AuditMessage>") for line in lines)
    assert "山田^太郎" in lines[0].decode()
    assert len(next_batch(database, "syslog")) == 0


@pytest.mark.usefixtures("trail")
def test_messages_go_over_plain_tcp_where_the_site_says_so(
    database: Database, folder: DataDir, tmp_path: Path, authority: trustme.CA
) -> None:
    plain = Repository(None)
    plain.start()
    settings = with_audit(folder, tmp_path, authority, syslog_port=plain.port, syslog_tls=False)
    assert deliver(database, settings, folder) == 2
    plain.close()
    assert len(plain.messages) == 2


@pytest.mark.usefixtures("trail")
def test_what_a_repository_that_was_away_has_missed_comes_in_order_when_it_is_back(
    database: Database, folder: DataDir, tmp_path: Path, authority: trustme.CA, context: ssl.SSLContext
) -> None:
    port = free_port()
    settings = with_audit(folder, tmp_path, authority, syslog_port=port, file=True)
    # The file does not wait for the repository.
    assert deliver(database, settings, folder) == 2
    with database.write() as session:
        record(session, "anna", AuditAction.SIGNED_OUT)
    assert deliver(database, settings, folder) == 1
    back = Repository(context, port)
    back.start()
    assert deliver(database, settings, folder) == 3
    back.close()
    codes = [re.findall(rb'EventID csd-code="(\d+)"', message)[0] for message in back.messages]
    assert codes == [b"110104", b"110114", b"110114"]
    assert len(next_batch(database, "syslog")) == 0


@pytest.mark.usefixtures("trail")
@pytest.mark.parametrize("tls", [True, False])
def test_a_repository_that_resets_the_connection_has_taken_nothing(
    database: Database, folder: DataDir, tmp_path: Path, authority: trustme.CA, context: ssl.SSLContext, tls: bool
) -> None:
    broken = Repository(context if tls else None, reset_after=10)
    broken.start()
    settings = with_audit(folder, tmp_path, authority, syslog_port=broken.port, syslog_tls=tls)
    assert deliver(database, settings, folder) == 0
    broken.close()
    assert len(next_batch(database, "syslog")) == 2


@pytest.mark.usefixtures("trail")
def test_a_repository_that_is_not_trusted_gets_nothing(
    database: Database,
    folder: DataDir,
    tmp_path: Path,
    repository: Repository,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = with_audit(folder, tmp_path, trustme.CA(), syslog_port=repository.port)
    assert deliver(database, settings, folder) == 0
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
    assert repository.messages == []


@pytest.mark.usefixtures("trail")
def test_a_file_that_cannot_be_written_loses_nothing(database: Database, folder: DataDir) -> None:
    settings = load_settings(folder.root, environ={}, flags={"atna": {"file": True}})
    folder.audit_messages.rmdir()
    assert deliver(database, settings, folder) == 0
    folder.audit_messages.mkdir()
    assert deliver(database, settings, folder) == 2


def test_a_write_that_fails_half_way_is_taken_back(folder: DataDir) -> None:
    append(folder, [b"<first/>"])
    [day] = folder.audit_messages.iterdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(NotTaken):
            append(folder, [b"x" * 10_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert day.read_bytes() == b"<first/>\n"


def test_two_processes_never_deliver_at_once(database: Database, folder: DataDir) -> None:
    settings = load_settings(folder.root, environ={}, flags={"atna": {"file": True}})
    with database.write() as session:
        record(session, "anna", AuditAction.SIGNED_IN)
    with (folder.run / "audit-messages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert deliver(database, settings, folder) == 0
    assert deliver(database, settings, folder) == 1
