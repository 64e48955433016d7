"""Keeps freed memory in the process, because networks ask for the same large blocks again with every image."""

from __future__ import annotations

import ctypes
import logging

logger = logging.getLogger(__name__)

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have glibc keep large blocks that are freed, instead of giving them back to the kernel.

    By default each large block is mapped anew when it is asked for and unmapped when it is freed, and the kernel has to
    clear every page of it, in every layer of a forward pass. The price is that the process stays as large as it was at
    its largest. It holds for the whole process and cannot be undone; calling it again does nothing.

    Returns:
        Whether the C library does so; others than glibc have ways of their own and are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    done = mallopt is not None and mallopt(_M_MMAP_MAX, 0) == 1 and mallopt(_M_TRIM_THRESHOLD, _NEVER) == 1
    if not done:
        logger.info("the C library gives freed memory back in its own way")
    return done
