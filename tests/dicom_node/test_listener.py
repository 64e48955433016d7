from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from pathlib import Path

import psutil
import pytest
from pydicom.uid import (
    JPEG2000,
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
)
from pynetdicom import AE
from pynetdicom.pdu_primitives import A_ASSOCIATE
from sqlalchemy import select

from archive.database import Database, open_database
from archive.models import Instance
from config.errors import ConfigurationError
from config.paths import DataDir
from config.settings import load_settings
from dicom_node.listener import CONNECTIONS_FOR_EACH, main
from dicom_node.services import STORAGE_CLASSES, TRANSFER_SYNTAXES
from tests.dicom_node.certificates import Authority
from tests.dicom_node.sending import Sender, command, encoded, listening, pdu
from tests.fuzz.seeds import association_request
from tests.listening import ListenerProcess, dataset_bytes, radiograph
from tests.ports import free_port

DX = str(DigitalXRayImageStorageForPresentation)
EXPLICIT = str(ExplicitVRLittleEndian)
VERIFICATION = ("1.2.840.10008.1.1", EXPLICIT)


def rejection(sender: Sender, **titles: str) -> tuple[int | None, int | None, int | None] | None:
    """Result, source and reason of the rejection, None when the association was accepted."""
    with sender.association([VERIFICATION], **titles) as association:
        if association.is_established:
            return None
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert isinstance(answer, A_ASSOCIATE)
        return answer.result, answer.result_source, answer.diagnostic


def test_every_class_is_accepted_in_every_transfer_syntax(sender: Sender) -> None:
    for storage_class in STORAGE_CLASSES:
        with sender.association([(str(storage_class), str(syntax)) for syntax in TRANSFER_SYNTAXES]) as association:
            assert len(association.accepted_contexts) == len(TRANSFER_SYNTAXES) == 16


@pytest.mark.parametrize("first", [JPEGLosslessSV1, ImplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000])
def test_the_transfer_syntax_that_the_sender_names_first_is_taken(sender: Sender, first: UID) -> None:
    others = [uid for uid in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1) if uid != first]
    ae = AE("MODALITY")
    ae.add_requested_context(DX, [first, *others])
    association = ae.associate("127.0.0.1", sender.port, ae_title="LUNGPRINT")
    assert association.accepted_contexts[0].transfer_syntax == [first]
    association.release()


def test_the_called_ae_title_must_be_ours(sender: Sender) -> None:
    assert rejection(sender) is None
    assert rejection(sender, called="SOMEONE") == (1, 1, 7)


def test_only_known_peers_are_accepted(folder: DataDir, database: Database) -> None:
    peers = [{"ae_title": "PACS", "address": "127.0.0.0/8"}, {"ae_title": "AFAR", "address": "192.0.2.7"}]
    with listening(folder, database, host="127.0.0.1", peers=peers) as sender:
        assert rejection(sender, calling="PACS") is None
        assert rejection(sender, calling="STRANGER") == (1, 1, 3)
        assert rejection(sender, calling="AFAR") == (1, 1, 3)


def test_one_association_too_many_is_rejected_for_now(folder: DataDir, database: Database) -> None:
    with (
        listening(folder, database, max_associations=2) as sender,
        sender.association([VERIFICATION]),
        sender.association([VERIFICATION]),
    ):
        assert rejection(sender) == (2, 3, 2)


def test_an_idle_association_is_dropped(folder: DataDir, database: Database) -> None:
    with listening(folder, database, idle_seconds=1) as sender, sender.association([VERIFICATION]) as association:
        until = time.monotonic() + 20
        while association.is_established and time.monotonic() < until:
            time.sleep(0.05)
        assert association.is_aborted


def test_a_connection_that_says_nothing_is_closed(folder: DataDir, database: Database) -> None:
    with (
        listening(folder, database, idle_seconds=1) as sender,
        socket.create_connection(("127.0.0.1", sender.port)) as it,
    ):
        it.settimeout(20)
        assert it.recv(100) == b""


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">BxL", 1, 0xFFFFFFF0) + bytes(1 << 16),
        struct.pack(">BxL", 1, 68) + bytes(68),
        struct.pack(">BxL", 4, 200) + bytes(200),
        bytes(10),
        b"\x01",
    ],
)
def test_noise_on_the_port_harms_nobody(sender: Sender, content: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sender.port)) as noise:
        noise.sendall(content)
        noise.shutdown(socket.SHUT_WR)
        noise.settimeout(20)
        try:
            while noise.recv(1000):
                pass
        except ConnectionResetError:
            pass
    assert sender.send(radiograph(1)) == 0x0000


def test_settings_name_what_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("LUNGPRINT_DATA_DIR", raising=False)
    assert main() == 2
    assert "LUNGPRINT_DATA_DIR" in capsys.readouterr().err


def test_a_port_in_use_is_said_in_one_sentence(sender: Sender, folder: DataDir, database: Database) -> None:
    with (
        pytest.raises(ConfigurationError, match=rf"port {sender.port} .* cannot be used"),
        listening(folder, database, port=sender.port),
    ):
        pass


def test_the_process_serves_its_data_folder_and_ends_on_sigterm(tmp_path: Path) -> None:
    listener = ListenerProcess(tmp_path / "data")
    try:
        listener.start()
        (listener.folder.incoming / "tmpx.part").write_bytes(b"left by a crash")
        assert Sender(listener.port).send(radiograph(1)) == 0x0000
        assert listener.stop() == 0
        listener.start()
        assert list(listener.folder.incoming.iterdir()) == []
        assert listener.stop() == 0
    finally:
        listener.close()
    database = open_database(load_settings(listener.folder.root, environ={}), listener.folder)
    with database.read() as session:
        assert session.scalars(select(Instance.sop_instance_uid)).one() == radiograph(1).SOPInstanceUID
    database.close()


def test_a_full_disk_is_answered_and_survived(tmp_path: Path) -> None:
    """The kernel's limit on file sizes makes writes fail in the middle of an image, as a full disk does."""
    limit = ["prlimit", f"--fsize={1 << 20}"]
    listener = ListenerProcess(tmp_path / "data", prefix=limit)
    try:
        listener.start()
        sender = Sender(listener.port)
        small, large = radiograph(1, side=64), radiograph(2, side=1024)
        assert [sender.send(image) for image in (small, large, small, large)] == [0, 0xA700, 0, 0xA700]
        assert list(listener.folder.incoming.iterdir()) == []
        kept = list(listener.folder.images.rglob("*.dcm"))
        assert [dataset_bytes(path) for path in kept] == [encoded(small)]
        assert listener.stop() == 0
    finally:
        listener.close()


def test_options_of_the_environment_reach_the_process(tmp_path: Path) -> None:
    peers = json.dumps([{"ae_title": "PACS", "address": "127.0.0.1"}])
    options = {"LUNGPRINT_DICOM_PEERS": peers, "LUNGPRINT_DICOM_HOST": "127.0.0.1", "LUNGPRINT_DICOM_AE_TITLE": "CHEST"}
    listener = ListenerProcess(tmp_path / "data", environ=options)
    try:
        listener.start()
        sender = Sender(listener.port)
        assert rejection(sender, calling="PACS", called="CHEST") is None
        assert rejection(sender, calling="OTHER", called="CHEST") == (1, 1, 3)
    finally:
        listener.close()


def test_one_peer_cannot_take_all_associations(folder: DataDir, database: Database) -> None:
    with (
        listening(folder, database, max_associations=3, max_associations_per_peer=1) as sender,
        sender.association([VERIFICATION], calling="GREEDY"),
    ):
        assert rejection(sender, calling="GREEDY") == (2, 3, 2)
        assert rejection(sender, calling="MODEST") is None


def test_a_released_association_frees_its_place_at_once(folder: DataDir, database: Database) -> None:
    with listening(folder, database, max_associations=1) as sender:
        for _ in range(20):
            assert rejection(sender) is None


def test_with_little_space_associations_are_rejected_for_now(folder: DataDir, database: Database) -> None:
    with listening(folder, database, low_space_mib=1 << 30) as sender:
        assert rejection(sender) == (2, 3, 1)


def test_any_storage_class_is_accepted_where_the_options_say_so(folder: DataDir, database: Database) -> None:
    private = "1.2.826.0.1.3680043.8.498.1"
    ct = "1.2.840.10008.5.1.4.1.1.2"
    query = "1.2.840.10008.5.1.4.1.2.2.1"
    for anything, accepted in ((False, set()), (True, {private, ct})):
        with (
            listening(folder, database, accept_any_storage=anything) as sender,
            sender.association([VERIFICATION, *((uid, EXPLICIT) for uid in (private, ct, query))]) as association,
        ):
            got = {str(context.abstract_syntax) for context in association.accepted_contexts}
            assert got - {VERIFICATION[0]} == accepted
            assert VERIFICATION[0] in got
    with listening(folder, database, accept_any_storage=True) as sender:
        assert sender.send(radiograph(1, SOPClassUID=private)) == 0x0000
        assert sender.send(radiograph(2, SOPClassUID=ct)) == 0x0000
    with database.read() as session:
        assert set(session.scalars(select(Instance.sop_class_uid))) == {private, ct}


def test_half_a_pdu_does_not_hold_its_association_for_ever(folder: DataDir, database: Database) -> None:
    """Neither one that stops, nor one that goes on by single bytes."""
    with listening(folder, database, idle_seconds=1, max_associations=2) as sender:
        with sender.association([(DX, EXPLICIT)]) as stopped, sender.association([(DX, EXPLICIT)]) as slow:
            assert stopped.is_established and slow.is_established
            connections = [association.dul.socket.socket for association in (stopped, slow)]
            for connection in connections:
                connection.sendall(pdu((3, command(1)), (0, bytes(1000))) + struct.pack(">BxLLBB", 4, 5006, 5002, 1, 0))
            until = time.monotonic() + 20
            while (stopped.is_established or slow.is_established) and time.monotonic() < until:
                with contextlib.suppress(OSError, AttributeError):
                    connections[1].send(b"\0")
                time.sleep(0.1)
            assert not stopped.is_established and not slow.is_established
        assert rejection(sender) is None
    assert list(folder.incoming.iterdir()) == []


def test_slow_speakers_do_not_keep_an_honest_sender_out(tmp_path: Path) -> None:
    """As many connections as the listener takes in all, from an address of no peer, each in mid-request."""
    peers = '[{"ae_title": "MODALITY", "address": "127.0.0.1"}]'
    environ = {"LUNGPRINT_DICOM_PEERS": peers, "LUNGPRINT_DICOM_MAX_ASSOCIATIONS": "8"}
    listener = ListenerProcess(tmp_path / "data", environ).start()
    with contextlib.ExitStack() as slow:
        slow.callback(listener.close)
        for _ in range(8 * CONNECTIONS_FOR_EACH):
            peer = slow.enter_context(
                socket.create_connection(("127.0.0.1", listener.port), 20, source_address=("127.0.0.2", 0))
            )
            # Too long to be held at the door until it is complete.
            peer.sendall(struct.pack(">BxL", 1, 200_000))
        assert Sender(listener.port).send(radiograph(1)) == 0x0000


def test_a_gateway_has_room_for_each_of_its_titles_and_is_told_when_there_is_none(tmp_path: Path) -> None:
    titles = [f"ROOM{number}" for number in range(6)]
    peers = json.dumps([{"ae_title": title, "address": "127.0.0.1"} for title in titles])
    limits = {"LUNGPRINT_DICOM_MAX_ASSOCIATIONS_PER_PEER": "1", "LUNGPRINT_DICOM_MAX_ASSOCIATIONS": "16"}
    listener = ListenerProcess(tmp_path / "data", {"LUNGPRINT_DICOM_PEERS": peers, **limits}).start()
    sender = Sender(listener.port)
    with contextlib.ExitStack() as open_now:
        open_now.callback(listener.close)
        for title in titles:
            assert open_now.enter_context(sender.association([VERIFICATION], calling=title)).is_established
        assert rejection(sender, calling=titles[0]) == (2, 3, 2)
        # The gateway runs wild: requests that are too long to be held at the door until they are complete.
        for _ in range(CONNECTIONS_FOR_EACH * len(titles)):
            slow = open_now.enter_context(socket.create_connection(("127.0.0.1", listener.port), 20))
            slow.sendall(struct.pack(">BxL", 1, 200_000))
        assert rejection(sender, calling="ROOM0") == (2, 3, 2)
        assert b"from its address" in listener.log.read_bytes()


def test_a_connection_too_many_over_tls_is_rejected_for_now(tmp_path: Path) -> None:
    authority, port = Authority(tmp_path / "hospital"), free_port()
    tls = {f"LUNGPRINT_TLS_{name.upper()}": str(value) for name, value in authority.options("us.example", port).items()}
    listener = ListenerProcess(tmp_path / "data", {"LUNGPRINT_DICOM_MAX_ASSOCIATIONS": "2", **tls}).start()
    with contextlib.ExitStack() as open_now:
        open_now.callback(listener.close)
        # Of two associations nobody may have more than half.
        for _ in range(CONNECTIONS_FOR_EACH):
            silent = open_now.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            silent.sendall(bytes([0x16, 3, 1, 2, 0]) + bytes(10))
        context = authority.client("pacs.example")
        plain = open_now.enter_context(socket.create_connection(("127.0.0.1", port), 20))
        # Not by pynetdicom, which takes an answer that comes at once for a connection that failed.
        peer = open_now.enter_context(context.wrap_socket(plain))
        peer.sendall(association_request())
        assert peer.recv(10) == struct.pack(">BxLxBBB", 3, 4, 2, 3, 2)


@pytest.mark.parametrize("more", [b"", bytes(3)], ids=["nothing more", "the beginning of more"])
def test_who_begins_with_something_else_is_sent_away_at_once(sender: Sender, more: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sender.port), 5) as peer:
        peer.sendall(struct.pack(">BxL", 4, 200_000) + more)
        # An A-ABORT, long before the idle time is over.
        assert peer.recv(10)[:1] == b"\x07"


def test_a_huge_association_request_is_not_buffered(tmp_path: Path) -> None:
    listener = ListenerProcess(tmp_path / "data").start()
    try:
        before = memory(listener.pid)
        with socket.create_connection(("127.0.0.1", listener.port)) as peer:
            peer.settimeout(20)
            peer.sendall(struct.pack(">BxL", 1, 190_000_000))
            with contextlib.suppress(ConnectionError):
                for _ in range(190):
                    peer.sendall(bytes(1_000_000))
        assert memory(listener.pid) - before < 20 << 20
        assert Sender(listener.port).send(radiograph(1)) == 0x0000
    finally:
        listener.close()


def test_a_killed_process_of_the_listener_is_replaced(tmp_path: Path) -> None:
    listener = ListenerProcess(tmp_path / "data", {"LUNGPRINT_DICOM_PROCESSES": "2"}).start()
    try:
        sender = Sender(listener.port)
        for number in range(3):
            with sender.association([(DX, EXPLICIT)]) as association:
                assert association.send_c_store(radiograph(number)).Status == 0x0000
                for child in psutil.Process(listener.pid).children():
                    child.kill()
            until = time.monotonic() + 30
            while len(psutil.Process(listener.pid).children()) < 2 and time.monotonic() < until:
                time.sleep(0.05)
        assert sender.send(radiograph(9)) == 0x0000
        assert listener.stop() == 0
    finally:
        listener.close()


def memory(pid: int) -> int:
    """Bytes of memory that a process and its children hold, what they share counted once."""
    process = psutil.Process(pid)
    return sum(int(one.memory_full_info().pss) for one in (process, *process.children()))


def test_a_peer_that_leaves_before_it_is_let_in_takes_no_place(folder: DataDir, database: Database) -> None:
    request = association_request() + struct.pack(">BxL4x", 5, 4)
    with listening(folder, database, max_associations=2) as sender:
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", sender.port)) as peer:
                peer.sendall(request)
        until = time.monotonic() + 20
        while rejection(sender) is not None and time.monotonic() < until:
            time.sleep(0.05)
        assert rejection(sender) is None
