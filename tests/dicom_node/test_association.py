from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time

import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_CANCEL_RQ, C_STORE_RSP, DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, C_STORE
from pynetdicom.dul import DULServiceProvider

from archive.database import Database
from config.logs import PlaceOnly
from config.paths import DataDir
from dicom_node import reception
from dicom_node.association import ImageRequestHandler
from dicom_node.connection import ImageSocket
from dicom_node.reception import Reception
from dicom_node.services import VERIFICATION
from dicom_node.spool import SMALL
from dicom_node.status import StoreStatus
from dicom_node.storage import Storage
from dicom_node.straight import SHORTEST, ExpectedData
from tests.dicom_node.sending import Sender, command, encoded, listening, pdu
from tests.fuzz.seeds import association_request
from tests.listening import dataset_bytes, radiograph

DX = str(DigitalXRayImageStorageForPresentation)
EXPLICIT = str(ExplicitVRLittleEndian)


def send_raw(association: Association, content: bytes) -> None:
    """Put bytes on the wire as they are."""
    connection = association.dul.socket
    assert connection is not None and connection.socket is not None
    connection.socket.sendall(content)


def answer(association: Association) -> int:
    """The status of the next C-STORE response."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        _, message = association.dimse.get_msg(block=False)
        if isinstance(message, C_STORE):
            assert message.Status is not None
            return int(message.Status)
        time.sleep(0.01)
    raise AssertionError("no answer")


def wait_for_abort(association: Association) -> bool:
    until = time.monotonic() + 20
    while association.is_established and time.monotonic() < until:
        time.sleep(0.01)
    return association.is_aborted


@pytest.mark.parametrize("max_pdu", [4096, 16384, 131072, 1 << 20])
def test_images_arrive_whole_whatever_the_pdu_size(folder: DataDir, database: Database, max_pdu: int) -> None:
    images = [radiograph(number, side=side) for number, side in enumerate([2, 45, 300, 700])]
    with listening(folder, database, max_pdu=max_pdu) as sender, sender.association([(DX, EXPLICIT)]) as association:
        assert [association.send_c_store(image).Status for image in images] == [0, 0, 0, 0]
    stored = {dataset_bytes(path) for path in folder.images.rglob("*.dcm")}
    assert stored == {encoded(image) for image in images}


def test_fragments_may_lie_in_pdus_in_any_way(sender: Sender, folder: DataDir) -> None:
    content, request = encoded(radiograph(1)), command(1)
    chance = random.Random(1)
    with sender.association([(DX, EXPLICIT)]) as association:
        association._reactor_checkpoint.clear()
        for _ in range(20):
            values = [(1, request[:30]), (3, request[30:])]
            start = 0
            while start < len(content):
                end = min(len(content), start + chance.randint(1, 400))
                values.append((2 if end == len(content) else 0, content[start:end]))
                start = end
            wire = b""
            while values:
                count = chance.randint(1, len(values))
                wire += pdu(*values[:count])
                values = values[count:]
            for start in range(0, len(wire), 97):
                send_raw(association, wire[start : start + 97])
            assert answer(association) == 0x0000
        association._reactor_checkpoint.set()
    (path,) = folder.images.rglob("*.dcm")
    assert dataset_bytes(path) == content


@pytest.mark.parametrize("length", [8192, 40_001, 130_000])
@pytest.mark.parametrize("pause", [False, True])
def test_a_long_data_set_arrives_whole_however_its_fragments_come(
    sender: Sender, folder: DataDir, monkeypatch: pytest.MonkeyPatch, length: int, pause: bool
) -> None:
    content = encoded(radiograph(1, side=1100))
    straight: list[bool | None] = []
    read = ImageSocket.read_expected

    def count(connection: ImageSocket, expected: ExpectedData, seconds: float) -> bool | None:
        straight.append(read(connection, expected, seconds))
        return straight[-1]

    monkeypatch.setattr(ImageSocket, "read_expected", count)
    chance = random.Random(length)
    with sender.association([(DX, EXPLICIT)]) as association:
        association._reactor_checkpoint.clear()
        pieces, at = [pdu((3, command(1)))], 0
        while at < len(content):
            # Now and then one of another length, as no sender of one length is bound to.
            end = min(len(content), at + (length if chance.random() < 0.8 else chance.randint(1, 2 * length)))
            end = min(end, at + 131_000)
            pieces.append(pdu((2 if end == len(content) else 0, content[at:end])))
            at = end
        stream = b"".join(pieces)
        begin = 0
        while begin < len(stream):
            end = begin + (chance.randint(1, 300_000) if pause else len(stream))
            send_raw(association, stream[begin:end])
            begin = end
            time.sleep(0.01 if pause else 0)
        assert answer(association) == 0
        # The association is in step: the next image is understood.
        send_raw(association, pdu((3, command(2))) + pdu((2, encoded(radiograph(2)))))
        assert answer(association) == 0
        association._reactor_checkpoint.set()
    stored = {dataset_bytes(path) for path in folder.images.rglob("*.dcm")}
    assert stored == {content, encoded(radiograph(2))}
    assert bool(straight) == (length >= SHORTEST), "read straight where that is faster"


def test_only_what_begins_keeps_a_long_image_from_being_idle(folder: DataDir, database: Database) -> None:
    content = encoded(radiograph(1, side=900))
    pieces = [content[at : at + 40_000] for at in range(0, len(content), 40_000)]
    pdus = [pdu((2 if number == len(pieces) else 0, piece)) for number, piece in enumerate(pieces, 1)]
    with listening(folder, database, idle_seconds=3) as sender:
        with sender.association([(DX, EXPLICIT)]) as association:
            association._reactor_checkpoint.clear()
            send_raw(association, pdu((3, command(1))))
            for one in pdus:
                send_raw(association, one)
                time.sleep(0.1)
            assert answer(association) == 0, "fragment after fragment for longer than a peer may idle"
            association._reactor_checkpoint.set()
        with sender.association([(DX, EXPLICIT)]) as association:
            association._reactor_checkpoint.clear()
            stream = pdu((3, command(1))) + b"".join(pdus)
            send_raw(association, stream[:400_000])
            # Byte after byte of one fragment is idle. The sender's own thread notices first that it was aborted, or its
            # socket does.
            with pytest.raises((OSError, AssertionError)):
                for at in range(400_000, 400_100):
                    send_raw(association, stream[at : at + 1])
                    time.sleep(0.1)
            association._reactor_checkpoint.set()


@pytest.mark.parametrize("cut", range(1, 13))
def test_a_header_may_come_in_two_parts(folder: DataDir, database: Database, cut: int) -> None:
    length = 40_000
    content = encoded(radiograph(1, side=600))
    content += bytes(-len(content) % length)  # padding after the pixels belongs to no element and is kept
    pdus = [
        pdu((2 if end == len(content) else 0, content[end - length : end]))
        for end in range(length, len(content) + 1, length)
    ]
    with listening(folder, database) as sender, sender.association([(DX, EXPLICIT)]) as association:
        association._reactor_checkpoint.clear()
        send_raw(association, pdu((3, command(1))))
        for one in pdus:
            send_raw(association, one[:cut])
            time.sleep(0.02)
            send_raw(association, one[cut:])
            time.sleep(0.02)
        status = answer(association)
        association._reactor_checkpoint.set()
    assert status == 0
    (path,) = folder.images.rglob("*.dcm")
    assert dataset_bytes(path) == content


def test_a_sender_that_vanishes_leaves_nothing(sender: Sender, folder: DataDir) -> None:
    with sender.association([(DX, EXPLICIT)]) as association:
        content = encoded(radiograph(1, side=500))
        send_raw(association, pdu((3, command(1))))
        for start in range(0, SMALL + 50_000, 50_000):
            send_raw(association, pdu((0, content[start : start + 50_000])))
        until = time.monotonic() + 20
        while not any(folder.incoming.iterdir()) and time.monotonic() < until:
            time.sleep(0.01)
        assert len(list(folder.incoming.iterdir())) == 1
        association.abort()
    while any(folder.incoming.iterdir()) and time.monotonic() < until:
        time.sleep(0.01)
    assert list(folder.incoming.iterdir()) == []
    assert sender.send(radiograph(1)) == 0x0000


def test_requests_and_images_take_turns_on_one_association(sender: Sender, folder: DataDir) -> None:
    contexts = [(DX, EXPLICIT), (str(VERIFICATION), str(ImplicitVRLittleEndian))]
    with sender.association(contexts) as association:
        for number in range(5):
            assert association.send_c_echo().Status == 0x0000
            assert association.send_c_store(radiograph(number)).Status == 0x0000
    assert len(list(folder.images.rglob("*.dcm"))) == 5


def test_a_peer_that_takes_only_tiny_pdus_gets_its_answer_in_pieces(sender: Sender) -> None:
    with sender.association([(DX, EXPLICIT)], max_pdu=64) as association:
        assert association.send_c_store(radiograph(1)).Status == 0x0000


def test_an_error_of_ours_is_answered_and_the_next_image_taken(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    patient = "PID1"

    def fail(*_: object) -> None:
        raise ZeroDivisionError(patient)

    with sender.association([(DX, EXPLICIT)]) as association:
        with monkeypatch.context() as patched:
            patched.setattr(Storage, "take", fail)
            assert association.send_c_store(radiograph(1)).Status == StoreStatus.FAILED
        assert association.send_c_store(radiograph(1)).Status == StoreStatus.SUCCESS
    (record,) = (record for record in caplog.records if record.name == "dicom_node.messages")
    assert record.exc_info is not None and patient not in record.getMessage()
    said = PlaceOnly().formatException(record.exc_info)
    assert "ZeroDivisionError" in said and patient not in said


def test_an_image_is_answered_before_the_association_s_own_thread_is_back_from_accepting(
    folder: DataDir, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(reception, "_log_accepted", lambda _: answered.wait(20))
    with listening(folder, database) as sender, sender.association([(DX, EXPLICIT)]) as association:
        association._reactor_checkpoint.clear()
        send_raw(association, pdu((3, command(1))) + pdu((2, encoded(radiograph(1)))))
        try:
            assert answer(association) == 0x0000
            assert not answered.is_set()
        finally:
            answered.set()
            association._reactor_checkpoint.set()


def unanswered() -> list[bytes]:
    """Command sets that call for no answer: a C-CANCEL request, and the response to a request that nobody made."""
    cancel, response = C_CANCEL(), C_STORE()
    cancel.MessageIDBeingRespondedTo = response.MessageIDBeingRespondedTo = 7
    response.Status = 0x0000
    messages: list[tuple[DIMSEMessage, C_CANCEL | C_STORE]] = [(C_CANCEL_RQ(), cancel), (C_STORE_RSP(), response)]
    for message, primitive in messages:
        message.primitive_to_message(primitive)
    return [next(iter(one.encode_msg(1, 0))).presentation_data_value_list[0][1][1:] for one, _ in messages]


@pytest.mark.parametrize("content", unanswered(), ids=["cancel", "response"])
def test_a_message_that_calls_for_no_answer_does_not_keep_a_silent_association_for_ever(
    folder: DataDir, database: Database, content: bytes
) -> None:
    with (
        listening(folder, database, idle_seconds=3) as sender,
        sender.association([(DX, EXPLICIT)]) as association,
    ):
        send_raw(association, pdu((3, content)))
        assert wait_for_abort(association)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack(">BxL", 4, 100) + struct.pack(">LBB", 5000, 1, 3) + bytes(94),
        struct.pack(">BxL", 4, 0x7FFFFFFF),
        pdu((3, b"this is no command set")),
        pdu((3, b"\x00\x00\x00\x01\x02\x00\x00\x00\xff\xff")),
        struct.pack(">BxL", 0x55, 4) + bytes(4),
    ],
)
def test_a_pdu_that_makes_no_sense_aborts_its_association_alone(
    sender: Sender, folder: DataDir, content: bytes
) -> None:
    with sender.association([(DX, EXPLICIT)]) as witness:
        with sender.association([(DX, EXPLICIT)]) as association:
            send_raw(association, content)
            assert wait_for_abort(association)
        assert witness.send_c_store(radiograph(1)).Status == 0x0000
    assert list(folder.incoming.iterdir()) == []


def test_a_connection_that_cannot_be_served_is_closed_and_counted_as_ended(
    folder: DataDir, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[tuple[Association | None, str]] = []
    monkeypatch.setattr(Reception, "_ended", lambda _, association, host: ended.append((association, host)))

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with listening(folder, database) as sender:
        with monkeypatch.context() as broken:
            broken.setattr(ImageRequestHandler, "_create_association", fail)
            with socket.create_connection(("127.0.0.1", sender.port), 20) as peer:
                peer.sendall(association_request())
                with contextlib.suppress(ConnectionResetError):
                    assert peer.recv(10) == b""
        assert ended == [(None, "127.0.0.1")] and "could not be served" in caplog.text
        assert sender.send(radiograph(1)) == 0x0000


def test_endless_commands_are_not_collected_in_memory(sender: Sender) -> None:
    with sender.association([(DX, EXPLICIT)]) as association:
        connection = association.dul.socket
        assert connection is not None and connection.socket is not None
        wire = connection.socket
        with contextlib.suppress(OSError):
            for _ in range(2000):
                wire.sendall(pdu((1, bytes(16000))))
        assert wait_for_abort(association)


def test_pynetdicom_still_has_the_parts_that_are_replaced() -> None:
    replaced = ("_is_transport_event", "_read_pdu_data", "run_reactor", "send_pdu")
    assert all(callable(getattr(DULServiceProvider, name)) for name in replaced)
