"""The HL7 listener on a real port: acknowledgements, peers, broken senders, TLS, and the process itself."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import hl7
import pytest
from sqlalchemy import func, select

from archive.database import Database
from archive.models import Hl7Message, Patient
from config.errors import ConfigurationError
from config.paths import DataDir
from config.settings import load_settings
from dicom_node.hl7_listener import LARGEST_MESSAGE, Hl7Listener
from tests.dicom_node import adt
from tests.dicom_node.certificates import Authority
from tests.ports import free_port


@contextmanager
def listening(folder: DataDir, database: Database, tls: dict[str, Any] | None = None, **options: Any) -> Iterator[int]:
    """A listener in a thread of its own; gives its port."""
    flags = {"hl7": {"host": "127.0.0.1", "tls": tls is not None, **options}, "tls": tls or {}}
    listener = Hl7Listener(load_settings(folder.root, environ={}, flags=flags), database)
    loop = asyncio.new_event_loop()
    port = loop.run_until_complete(listener.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(listener.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def port(folder: DataDir, database: Database) -> Iterator[int]:
    with listening(folder, database) as found:
        yield found


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def ask(connection: socket.socket, content: bytes) -> hl7.Message:
    """Send one message and read its acknowledgement."""
    connection.sendall(b"\x0b" + content + b"\x1c\r")
    return answer(connection)


def answer(connection: socket.socket) -> hl7.Message:
    got = b""
    while not got.endswith(b"\x1c\r"):
        part = connection.recv(4096)
        assert part, "the listener has closed the connection"
        got += part
    return hl7.parse(got[1:-2].decode())


def code(message: hl7.Message) -> tuple[str, str]:
    return str(message["MSA.F1"]), str(message["MSA.F2"])


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def taken(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count(Hl7Message.id))) or 0


def test_what_is_acknowledged_is_committed(port: int, database: Database) -> None:
    with connect(port) as connection:
        said = ask(connection, adt.merge("X1", "Y1", control_id="MSG1"))
    assert code(said) == ("AA", "MSG1")
    assert (str(said["MSH.F3"]), str(said["MSH.F5"])) == ("LUNGPRINT", "HIS")
    assert str(said.segment("MSH")[9]).startswith("ACK^A40")
    assert taken(database) == 1


def test_the_sender_of_the_hl7_library_is_answered(port: int, database: Database, tmp_path: Path) -> None:
    """A client that is not ours, `mllp_send`: all three kinds of message, with a name that is not ASCII."""
    merges = [adt.merge("X1", "Y1", event, control_id=event) for event in ("A40", "A47")]
    file = tmp_path / "messages.hl7"
    file.write_bytes(b"".join(b"\x0b" + one + b"\x1c\r" for one in [*merges, adt.update("Y1", "山田^太郎").encode()]))
    command = [str(Path(sys.executable).with_name("mllp_send")), "--port", str(port), "--file", str(file), "127.0.0.1"]
    sent = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert sent.stdout.count(b"MSA|AA|") == 3
    assert taken(database) == 3


def test_many_messages_come_on_one_connection_in_order(port: int, database: Database) -> None:
    with connect(port) as connection:
        connection.sendall(
            b"".join(b"\x0b" + adt.merge(f"X{n}", "Y", control_id=f"M{n}") + b"\x1c\r" for n in range(5))
        )
        got = b""
        while got.count(b"\x1c\r") < 5:
            got += connection.recv(4096)
    acknowledged = [hl7.parse(block[1:].decode()) for block in got.split(b"\x1c\r")[:-1]]
    assert [code(message) for message in acknowledged] == [("AA", f"M{number}") for number in range(5)]
    assert taken(database) == 5


def test_the_same_message_again_is_acknowledged_and_not_applied(port: int, database: Database) -> None:
    content = adt.merge("X1", "Y1")
    with connect(port) as connection:
        assert code(ask(connection, content)) == code(ask(connection, content))
    assert taken(database) == 1


@pytest.mark.parametrize(
    ("content", "expected", "error"),
    [
        ((adt.header("A01", "M1") + "\rPID|||7").encode(), ("AR", "M1"), "201"),
        ((adt.header("A40", "M2") + "\rPID|||7").encode(), ("AE", "M2"), "100"),
        ((adt.header("A40", "M3", kind="ADT") + "\r").encode(), ("AR", "M3"), "201"),
        (adt.merge("X1", "X1", control_id="M4"), ("AE", "M4"), "204"),
        (b"no message at all", ("AR", ""), "100"),
    ],
)
def test_what_is_refused_is_told_why_and_the_connection_goes_on(
    port: int, database: Database, content: bytes, expected: tuple[str, str], error: str
) -> None:
    with connect(port) as connection:
        said = ask(connection, content)
        assert code(said) == expected
        assert str(said["ERR.F3.R1.C1"]) == error and str(said["ERR.F8"]) == str(said["MSA.F3"]) != ""
        assert taken(database) == 0
        assert code(ask(connection, adt.merge("X1", "Y1")))[0] == "AA"


def test_a_database_that_cannot_be_written_is_a_rejection_that_asks_to_send_again(
    port: int, database: Database
) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE hl7_messages RENAME TO gone")
    with connect(port) as sender:
        said = ask(sender, adt.merge("X1", "Y1", control_id="M1"))
    assert code(said) == ("AR", "M1") and "send the message again" in str(said["MSA.F3"])
    with database.read() as session:
        assert session.scalar(select(func.count(Patient.id))) == 0


def test_a_peer_that_is_not_listed_is_cut_off(folder: DataDir, database: Database) -> None:
    with listening(folder, database, peers=["10.0.0.0/24"]) as port, connect(port) as connection:
        assert is_closed(connection)
    with listening(folder, database, peers=["127.0.0.0/8"]) as port, connect(port) as connection:
        assert code(ask(connection, adt.merge("X1", "Y1")))[0] == "AA"


def test_senders_that_send_no_block_or_too_large_a_one_are_cut_off_and_others_served(
    port: int, database: Database
) -> None:
    with connect(port) as chatty, connect(port) as huge, connect(port) as half, connect(port) as honest:
        chatty.sendall(b"GET / HTTP/1.1\r\n\x1c\r")
        half.sendall(b"\x0bMSH|")
        try:
            huge.sendall(b"\x0b" + b"x" * (3 * LARGEST_MESSAGE))
        except ConnectionError:
            assert is_closed(huge)
        assert is_closed(chatty) and is_closed(huge)
        assert code(ask(honest, adt.merge("X1", "Y1")))[0] == "AA"
    assert taken(database) == 1


def test_a_connection_without_messages_is_closed(folder: DataDir, database: Database) -> None:
    with listening(folder, database, idle_seconds=0.2) as port, connect(port) as connection:
        assert is_closed(connection)


def test_over_tls_only_a_peer_with_a_certificate_is_heard(folder: DataDir, database: Database, tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    with listening(folder, database, tls=ours.options("lungprint.example")) as port:
        with closing(ours.client("his.example").wrap_socket(connect(port))) as connection:
            assert code(ask(connection, adt.merge("X1", "Y1")))[0] == "AA"
        stranger = theirs.client("his.example")
        stranger.load_verify_locations(ours.file)
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            ask(stranger.wrap_socket(connect(port)), adt.merge("X2", "Y2"))
    assert taken(database) == 1


def test_a_port_in_use_is_one_plain_sentence(folder: DataDir, database: Database, port: int) -> None:
    with pytest.raises(ConfigurationError, match="HL7 messages cannot be taken on"):  # noqa: SIM117
        with listening(folder, database, port=port):
            pass


def test_the_process_serves_until_it_is_told_to_stop_and_logs_no_patient_data(
    folder: DataDir, database: Database
) -> None:
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LUNGPRINT_")}
    environ |= {"LUNGPRINT_DATA_DIR": str(folder.root), "LUNGPRINT_HL7_PORT": str(port)}
    command = [sys.executable, "-m", "dicom_node.hl7_listener"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while True:
            try:
                connection = connect(port)
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.05)
        with connection:
            assert code(ask(connection, adt.merge("SECRET1", "SECRET2")))[0] == "AA"
            assert code(ask(connection, b"MSH|^~\\&|SECRET3"))[0] == "AR"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "HL7 ADT^A40 from 127.0.0.1: taken" in said and "SECRET" not in said
    assert taken(database) == 1
