"""Whatever arrives, the listener's processes hold no more than 300 MiB together."""

from __future__ import annotations

import contextlib
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from benchmarks.ingest import MemoryWatch
from tests.dicom_node.sending import Sender, command, encoded, pdu
from tests.fuzz.amount import FULL, HANG_SECONDS
from tests.fuzz.peer import Storing
from tests.listening import ListenerProcess, radiograph

pytestmark = pytest.mark.timeout(1800)

MIB = 1 << 20
MOST = 300 * MIB
# Larger than what may be held; in full as large as objects of the field get.
OBJECT = 2048 * MIB - 2 if FULL else 512 * MIB
BOMB = 1024 * MIB
ASSOCIATIONS = 64
_PIECE = 128 << 10


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[ListenerProcess]:
    """With its defaults, but that one peer may have all associations; watched, and found well afterwards."""
    made = ListenerProcess(tmp_path / "data", {"LUNGPRINT_DICOM_MAX_ASSOCIATIONS_PER_PEER": str(ASSOCIATIONS)}).start()
    watch = MemoryWatch(made.pid, pause_seconds=0.02)
    watch.start()
    yield made
    held = watch.stop()
    try:
        assert Sender(made.port).send(radiograph(2)) == 0x0000
        print(f"{held:.0f} MiB at most")
        assert 0 < held * MIB < MOST, f"{held:.0f} MiB"
    finally:
        made.close()


def head() -> bytes:
    """A data set up to its pixels."""
    content = encoded(radiograph(1))
    return content[: content.index(struct.pack("<HH2s", 0x7FE0, 0x10, b"OW"))]


def element(group: int, number: int, length: int) -> bytes:
    """The beginning of an element of bytes (OB, OW) in explicit VR little endian."""
    return struct.pack("<HH2sxxL", group, number, b"OB" if group != 0x7FE0 else b"OW", length)


def test_an_object_of_gigabytes_goes_to_the_disk_as_it_comes(listener: ListenerProcess) -> None:
    sender = Storing(listener.port)
    first = head() + element(0x7FE0, 0x10, OBJECT)
    whole = pdu((0, bytes(_PIECE - 6)))

    def pieces() -> Iterator[bytes]:
        yield pdu((3, command(1))) + pdu((0, first))
        left = OBJECT
        while left > _PIECE:
            yield whole
            left -= _PIECE - 6
        yield pdu((2, bytes(left)))

    assert sender.send_pdus(pieces(), seconds=600) == 0x0000
    sender.close()
    (stored,) = listener.folder.images.rglob("*.dcm")
    assert stored.stat().st_size > OBJECT


@pytest.mark.parametrize("before_the_names", [True, False])
def test_what_inflates_to_gigabytes_is_never_inflated(listener: ListenerProcess, before_the_names: bool) -> None:
    """Eight at a time, of a megabyte each; names and identifiers come before what inflates, or after it."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = element(0x0009, 0x1000, BOMB) if before_the_names else head() + element(0x7FE0, 0x10, BOMB)
    bomb = deflate.compress(start) + b"".join(deflate.compress(bytes(MIB)) for _ in range(BOMB // MIB))
    bomb += deflate.flush()
    assert len(bomb) < 2 * MIB
    cut = [bomb[at : at + 100_000] for at in range(0, len(bomb), 100_000)]
    senders = [Storing(listener.port) for _ in range(8)]
    for sender in senders:
        sender.begin(DeflatedExplicitVRLittleEndian, *cut)
    expected = 0xC210 if before_the_names else 0x0000
    assert {sender.status(60) for sender in senders} == {expected}
    for sender in senders:
        sender.close()


def test_many_requests_of_190_megabytes_are_not_collected(listener: ListenerProcess) -> None:
    with contextlib.ExitStack() as peers:
        for _ in range(20):
            peer = peers.enter_context(socket.create_connection(("127.0.0.1", listener.port), HANG_SECONDS))
            with contextlib.suppress(OSError):
                peer.sendall(struct.pack(">BxL", 1, 190_000_000))
                for _ in range(190):
                    peer.sendall(bytes(1_000_000))


def test_all_associations_may_be_in_the_middle_of_an_image(listener: ListenerProcess) -> None:
    senders = [Storing(listener.port) for _ in range(ASSOCIATIONS)]
    image = head() + element(0x7FE0, 0x10, 8 * MIB) + bytes(8 * MIB)
    cut = [image[at : at + 100_000] for at in range(0, len(image), 100_000)]
    for sender in senders:
        sender.begin(ExplicitVRLittleEndian, *cut[:20], last=False)
    for number, sender in enumerate(senders):
        assert sender.send_pdus(iter([*(pdu((0, piece)) for piece in cut[20:-1]), pdu((2, cut[-1]))]), 60) == 0x0000
        sender.close()
        assert number or len(list(listener.folder.incoming.iterdir())) == ASSOCIATIONS - 1
