from __future__ import annotations

import mmap
import platform
from pathlib import Path

import pytest

from retrieval.large_pages import LEAST, SWITCH, use_large_pages

KERNEL = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
OFF = not SWITCH.exists() or "[never]" in SWITCH.read_text() or KERNEL < (6, 1)
PAGE = 4096


def in_large_pages() -> int:
    """Bytes of this process that lie in large pages."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    (found,) = [line for line in lines if line.startswith("AnonHugePages")]
    return 1024 * int(found.split()[1])


def written(size: int) -> mmap.mmap:
    """A block of memory as malloc gets one for a graph; every page has been written to."""
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # Where large pages are used always, it would lie in them from the first.
    block.madvise(mmap.MADV_NOHUGEPAGE)
    for place in range(0, size, PAGE):
        block[place] = 7
    return block


@pytest.mark.skipif(OFF, reason="needs Linux 6.1 with large pages")
def test_a_large_block_moves_into_large_pages_and_keeps_what_it_held() -> None:
    with written(2 * LEAST) as block:
        before = in_large_pages()
        assert use_large_pages() >= LEAST
        assert in_large_pages() - before >= LEAST
        assert all(block[place] == 7 for place in range(0, 2 * LEAST, PAGE))


@pytest.mark.skipif(OFF, reason="needs Linux 6.1 with large pages")
def test_a_small_block_stays_as_it_is() -> None:
    use_large_pages()
    with written(LEAST // 2):
        before = in_large_pages()
        use_large_pages()
        assert in_large_pages() <= before


@pytest.mark.skipif(OFF, reason="needs Linux 6.1 with large pages")
def test_where_they_are_switched_off_nothing_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = tmp_path / "enabled"
    switch.write_text("always madvise [never]\n")
    monkeypatch.setattr("retrieval.large_pages.SWITCH", switch)
    with written(2 * LEAST):
        before = in_large_pages()
        assert use_large_pages() == 0
        assert in_large_pages() <= before


def test_a_system_without_large_pages_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name, use_errno: object())
    assert use_large_pages() == 0
