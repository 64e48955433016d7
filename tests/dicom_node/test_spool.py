from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import pytest
from blake3 import blake3
from pydicom import dcmread

from config.paths import DataDir
from dicom_node.block_file import BLOCK_BYTES
from dicom_node.spool import SMALL, IncomingFile, Spool
from tests.dicom_node.sending import encoded
from tests.listening import dataset_bytes, radiograph


def opened(folder: DataDir, min_free: int = 0) -> IncomingFile:
    return Spool(folder, min_free).open("1.2.840.10008.5.1.4.1.1.1.1", "1.2.3", "1.2.840.10008.1.2.1")


def files(folder: DataDir) -> list[Path]:
    return list(folder.incoming.iterdir())


def test_pieces_become_one_file_in_dicom_format(folder: DataDir) -> None:
    content = encoded(radiograph(1, side=300))
    with opened(folder) as incoming:
        for start in range(0, len(content), 1000):
            assert incoming.write(memoryview(content)[start : start + 1000]) == len(content[start : start + 1000])
        path = incoming.finish()
        assert dataset_bytes(path) == content
        assert dcmread(path).PatientID == "PID1"
        assert (incoming.file_digest, incoming.length) == (blake3(content).hexdigest(), len(content))
    assert files(folder) == []


@pytest.mark.parametrize("sizes", [[0], [1000], [SMALL - 1000, 2000], [SMALL], [BLOCK_BYTES, 5], [900_001] * 3])
def test_the_digest_is_that_of_the_data_set_at_any_time(folder: DataDir, sizes: list[int]) -> None:
    content = b""
    with opened(folder) as incoming:
        for size in sizes:
            piece = os.urandom(size)
            incoming.write(piece)
            content += piece
            assert incoming.file_digest == blake3(content).hexdigest()
        for _ in range(2):
            assert dataset_bytes(incoming.finish()) == content
            assert incoming.file_digest == blake3(content).hexdigest()


def test_without_space_nothing_is_opened_and_the_rest_is_dropped(folder: DataDir) -> None:
    with opened(folder, min_free=1 << 60) as incoming:
        assert incoming.write(b"x" * 100) == 100
        with pytest.raises(OSError) as caught:
            incoming.finish()
    assert caught.value.errno == errno.ENOSPC and files(folder) == []


def test_a_failed_write_leaves_nothing(folder: DataDir) -> None:
    with opened(folder) as incoming:
        incoming.write(b"beginning")
        incoming.fail(OSError(errno.ENOSPC, "full"))
        assert files(folder) == []
        incoming.write(b"end")
        with pytest.raises(OSError):
            incoming.finish()


def test_a_file_that_was_moved_away_stays(folder: DataDir, tmp_path: Path) -> None:
    with opened(folder) as incoming:
        incoming.write(b"kept")
        incoming.finish().rename(tmp_path / "kept.dcm")
    assert (tmp_path / "kept.dcm").exists()


def test_a_forgotten_file_goes_with_its_object(folder: DataDir) -> None:
    incoming = opened(folder)
    incoming.write(bytes(SMALL))
    incoming.write(b"never finished")
    assert len(files(folder)) == 1
    del incoming
    gc.collect()
    assert files(folder) == []


def test_a_sweep_removes_leftovers_but_not_what_is_being_received(folder: DataDir) -> None:
    (folder.incoming / "tmpleft.part").write_bytes(b"half")
    with opened(folder) as incoming:
        incoming.write(bytes(SMALL))
        assert Spool(folder, 0).sweep() == 1
        assert files(folder) == [incoming.path]
        assert incoming.finish().exists()


def test_a_small_image_needs_no_file_until_it_is_complete(folder: DataDir) -> None:
    with opened(folder) as incoming:
        incoming.write(b"small")
        assert files(folder) == [] and incoming.path is None and incoming.beginning.endswith(b"small")
        assert dataset_bytes(incoming.finish()) == b"small"
    assert files(folder) == []


def test_an_image_that_is_no_longer_small_goes_on_in_a_file(folder: DataDir) -> None:
    with opened(folder) as incoming:
        for _ in range(3):
            incoming.write(b"x" * (SMALL // 2))
        assert incoming.path is not None
        assert dataset_bytes(incoming.finish()) == b"x" * (SMALL // 2) * 3
    assert files(folder) == []


def test_the_beginning_of_any_image_stays_in_memory_for_its_header(folder: DataDir) -> None:
    content = os.urandom(SMALL * 3)
    for sizes in ([SMALL * 3], [1000] * (3 * SMALL // 1000), [SMALL - 5000, 2 * SMALL]):
        with opened(folder) as incoming:
            at = 0
            for size in sizes:
                incoming.write(content[at : at + size])
                at += size
            path = incoming.finish()
            kept = bytes(incoming.beginning)
            assert 64 << 10 <= len(kept) <= SMALL and path.read_bytes().startswith(kept)
            assert dataset_bytes(path) == content[:at]


@pytest.mark.parametrize("sizes", [[100], [SMALL, 100], [BLOCK_BYTES, 100]])
def test_a_disk_that_is_full_leaves_nothing(folder: DataDir, monkeypatch: pytest.MonkeyPatch, sizes: list[int]) -> None:
    def none(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with opened(folder) as incoming:
        monkeypatch.setattr(os, "write", none)
        for size in sizes:
            incoming.write(bytes(size))
        with pytest.raises(OSError) as caught:
            incoming.finish()
        assert incoming.beginning == b""
    assert caught.value.errno == errno.ENOSPC and files(folder) == []


@pytest.mark.parametrize("count", [3, 1000])
def test_pieces_are_written_in_order(folder: DataDir, count: int) -> None:
    pieces = [bytes([number % 251]) * (SMALL // count + 7) for number in range(count)]
    with opened(folder) as incoming:
        assert incoming.write_pieces([memoryview(piece) for piece in pieces]) == sum(map(len, pieces))
        assert dataset_bytes(incoming.finish()) == b"".join(pieces)
        assert incoming.file_digest == blake3(b"".join(pieces)).hexdigest()


def test_what_is_put_into_the_room_follows_what_was_written(folder: DataDir) -> None:
    content = bytes(range(256)) * ((2 * BLOCK_BYTES + SMALL) // 256)
    with opened(folder) as incoming:
        assert incoming.room is None, "a small image has no file yet"
        incoming.write(content[: SMALL + 1])
        at = SMALL + 1
        while at < len(content):
            room = incoming.room
            assert room
            taken = min(100_003, len(room), len(content) - at)
            room[:taken] = content[at : at + taken]
            room.release()
            incoming.fill(taken)
            at += taken
        assert incoming.length == len(content)
        assert dataset_bytes(incoming.finish()) == content
        assert incoming.file_digest == blake3(content).hexdigest()


def test_a_disk_that_fills_while_the_room_is_used_is_told_at_the_end(
    folder: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with opened(folder) as incoming:
        incoming.write(bytes(SMALL + 1))
        monkeypatch.setattr(os, "write", none)
        while (room := incoming.room) is not None:
            count = len(room)
            room.release()
            incoming.fill(count)
        with pytest.raises(OSError):
            incoming.finish()
    assert files(folder) == []
