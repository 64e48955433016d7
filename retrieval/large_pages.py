"""Keeps large blocks of memory in large pages, because a graph is read at places that lie far apart.

Each vector that a search looks at lies in another page of 4 KiB, and where that page is has to be looked up first, in
tables that fit no cache. In pages of 2 MiB there is five hundred times less to look up.
"""

from __future__ import annotations

import ctypes
import errno
import logging
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

LARGE_PAGE = 2 * 2**20
# Says, in brackets, whether large pages are used always, where they are asked for, or never.
SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
# Smaller blocks are left as they are.
LEAST = 16 * LARGE_PAGE
# Linux's mman-common.h: large pages from now on; large pages now, since 6.1.
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25


def use_large_pages() -> int:
    """Ask the kernel to keep all blocks of this process of 32 MiB and more in pages of 2 MiB, also when they grow.

    What is there already is moved, a GiB in about a second. Without Linux, or where large pages are switched off,
    nothing happens; on kernels before 6.1 the kernel moves it when it finds the time.

    Returns:
        How many bytes were asked for.
    """
    madvise = getattr(ctypes.CDLL(None, use_errno=True), "madvise", None)
    if madvise is None or not SWITCH.exists() or "[never]" in SWITCH.read_text(encoding="ascii"):
        return 0
    asked = 0
    for start, end in _blocks():
        place, size = ctypes.c_void_p(start), ctypes.c_size_t(end - start)
        if madvise(place, size, _MADV_HUGEPAGE) == 0:
            madvise(place, size, _MADV_COLLAPSE)
            asked += end - start
        elif ctypes.get_errno() != errno.ENOMEM:  # another thread has given that block back meanwhile
            logger.info("this kernel has no large pages; searches take a little longer")
            break
    return asked


def _blocks() -> Iterator[tuple[int, int]]:
    """Where large blocks of memory that no file backs begin and end, in whole large pages."""
    maps = Path("/proc/self/maps")
    for line in maps.read_text(encoding="utf-8", errors="replace").splitlines() if maps.exists() else ():
        place, rights, _, _, inode, *name = line.split(maxsplit=5)
        start, end = (int(address, 16) for address in place.split("-"))
        if rights == "rw-p" and inode == "0" and (not name or name[0].strip() == "[heap]") and end - start >= LEAST:
            yield -(-start // LARGE_PAGE) * LARGE_PAGE, end // LARGE_PAGE * LARGE_PAGE
