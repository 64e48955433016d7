"""A file that is written as it comes, in large aligned blocks that go past the page cache."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

# What goes to the disk in one write.
BLOCK_BYTES = 512 << 10
# What a write past the page cache must begin at and be long, a multiple of this.
_ALIGNMENT = 4096
# Blocks of files that are complete, for the next ones: fresh memory costs more than filling it.
_idle_blocks: deque[mmap.mmap] = deque(maxlen=64)


class BlockFile:
    """A new file in a folder, under a name of its own, locked as long as it is open.

    The page cache costs a large image more processor time than everything else that happens to it. Where the file
    system knows no way past it (O_DIRECT), and for files of less than a block, writing is as usual. The file must be
    synced as any other.

    Args:
        written: called with each block, in order, before it is written.

    Attributes:
        path: where it is.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, folder: Path, suffix: str, written: Callable[[memoryview], None] = lambda _: None) -> None:
        self._descriptor, name = tempfile.mkstemp(suffix=suffix, dir=folder)
        self.path = Path(name)
        self._block = _unused_block()
        self._filled = 0
        self._written = written
        self._direct = False
        # The lock ends with the process, however it ends.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    @property
    def pending(self) -> memoryview:
        """What came and is not written yet; to be released before more comes."""
        return memoryview(self._block)[: self._filled]

    @property
    def room(self) -> memoryview:
        """Where what comes next may be put by whoever calls `fill` then; never empty, to be released before that."""
        return memoryview(self._block)[self._filled :]

    def fill(self, count: int) -> None:
        """Add so many bytes, which are the first of `room`.

        Raises:
            OSError: the disk is full or broken; the file is of no more use.
        """
        self._filled += count
        if self._filled == BLOCK_BYTES:
            self._write_whole_block()

    def append(self, pieces: Sequence[memoryview]) -> None:
        """Add pieces of bytes, in order. Errors as `fill`."""
        for piece in pieces:
            at = 0
            while at < len(piece):
                with self.room as room:
                    taken = min(len(piece) - at, len(room))
                    room[:taken] = piece[at : at + taken]
                self.fill(taken)
                at += taken

    def finish(self) -> None:
        """Write what is left; nothing more may come. Errors as `fill`."""
        with self.pending as rest:
            self._written(rest)
        aligned = self._filled - self._filled % _ALIGNMENT if self._direct else 0
        self._write(0, aligned)
        self._pass_cache(False)
        self._write(aligned, self._filled)
        self._filled = 0

    def close(self) -> None:
        """Let go of the file, which stays where it is.

        Raises:
            OSError: the disk is broken.
        """
        if self._descriptor >= 0:
            _idle_blocks.append(self._block)
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _write_whole_block(self) -> None:
        if not self._direct and os.lseek(self._descriptor, 0, os.SEEK_CUR) == 0:
            self._pass_cache(True)
        with self.pending as block:
            self._written(block)
        self._write(0, BLOCK_BYTES)
        self._filled = 0

    def _pass_cache(self, wanted: bool) -> None:
        if wanted == self._direct:
            return
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL) & ~os.O_DIRECT
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags)
            self._direct = wanted
        except OSError as error:
            # The file system cannot.
            if error.errno != errno.EINVAL:
                raise

    def _write(self, begin: int, end: int) -> None:
        with memoryview(self._block) as block:
            while begin < end:
                try:
                    # A disk that is nearly full takes a part, and says with the next call that it is full.
                    begin += os.write(self._descriptor, block[begin:end])
                except OSError as error:
                    if error.errno != errno.EINVAL or not self._direct:
                        raise
                    # Blocks of the disk are larger than thought, or a part was taken that is no whole block.
                    self._pass_cache(False)


def _unused_block() -> mmap.mmap:
    try:
        return _idle_blocks.pop()
    except IndexError:
        return mmap.mmap(-1, BLOCK_BYTES)
