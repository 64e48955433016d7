from __future__ import annotations

import errno
import fcntl
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.block_file import BLOCK_BYTES, BlockFile

SIZES = [0, 1, 4096, 5000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 8195]


def written(folder: Path, content: bytes, pieces: int = 7) -> BlockFile:
    """A file that is complete, its content having come in pieces of any length."""
    chance = random.Random(len(content))
    cuts = sorted(chance.randrange(len(content) + 1) for _ in range(pieces))
    file = BlockFile(folder, ".part")
    for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        file.append([memoryview(content)[begin:end]])
    file.finish()
    return file


def pages_in_cache(path: Path) -> int:
    """How many pages of a file the page cache holds, as util-linux's fincore counts them."""
    said = subprocess.run(["fincore", "--noheadings", "--output", "PAGES", str(path)], capture_output=True, check=True)
    return int(said.stdout)


@pytest.mark.parametrize("size", SIZES)
def test_what_came_is_what_lies_there(tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    file = written(tmp_path, content)
    assert file.path.read_bytes() == content and file.path.suffix == ".part"
    file.close()
    assert list(tmp_path.iterdir()) == [file.path]


def test_a_large_file_leaves_the_page_cache_alone(tmp_path: Path) -> None:
    file = written(tmp_path, bytes(8 * BLOCK_BYTES + 100))
    if not supports_direct(tmp_path):
        pytest.skip("the file system of temporary files knows no way past the page cache")
    assert pages_in_cache(file.path) <= 1
    file.close()


def supports_direct(folder: Path) -> bool:
    try:
        os.close(os.open(folder / "probe", os.O_WRONLY | os.O_CREAT | os.O_DIRECT))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("size", SIZES)
def test_where_the_file_system_refuses_it_writes_as_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    really = fcntl.fcntl

    def refuse(file: int, command: int, flags: int = 0) -> int:
        if command == fcntl.F_SETFL and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no way past the page cache")
        return really(file, command, flags)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    content = random.Random(size).randbytes(size)
    assert written(tmp_path, content).path.read_bytes() == content


def only(count: int) -> Callable[[int, memoryview], int]:
    really = os.write
    return lambda file, data: really(file, data[:count])


def aligned_to(count: int) -> Callable[[int, memoryview], int]:
    really = os.write

    def write(file: int, data: memoryview) -> int:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT and len(data) % count:
            raise OSError(errno.EINVAL, "not a whole block")
        return really(file, data)

    return write


@pytest.mark.parametrize("write", [only(1000), only(4096), aligned_to(64 << 10)])
def test_a_disk_that_takes_parts_or_has_larger_blocks_gets_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[int, memoryview], int]
) -> None:
    content = random.Random(1).randbytes(2 * BLOCK_BYTES + 70_001)
    monkeypatch.setattr(os, "write", write)
    assert written(tmp_path, content).path.read_bytes() == content


def test_an_error_of_the_disk_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "broken")

    file = BlockFile(tmp_path, ".part")
    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(OSError) as caught:
        file.append([memoryview(bytes(BLOCK_BYTES))])
    assert caught.value.errno == errno.EIO
    file.close()
    file.close()


def test_it_is_locked_while_it_is_open(tmp_path: Path) -> None:
    file = BlockFile(tmp_path, ".part")
    with file.path.open("rb") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.close()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_memory_is_used_again_and_never_by_two(tmp_path: Path) -> None:
    contents = [random.Random(number).randbytes(BLOCK_BYTES // 2) for number in range(4)]
    for _ in range(2):
        files = [BlockFile(tmp_path, ".part") for _ in contents]
        for file, content in zip(files, contents, strict=True):
            file.append([memoryview(content)])
        for file, content in zip(files, contents, strict=True):
            file.finish()
            file.close()
            assert file.path.read_bytes() == content
