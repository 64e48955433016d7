"""Data sets on their way in: digested while they arrive, and written to a temporary file unless they are small."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from archive.files import new_digest
from config.paths import DataDir
from dicom_node.block_file import BlockFile
from dicom_node.quick_encoding import file_header

if TYPE_CHECKING:
    from typing_extensions import Buffer

MIB = 1 << 20
SUFFIX = ".part"
# Free space is looked at again each time this many bytes of one image have come.
_LOOK_AGAIN = 64 << 20
# What is no longer is collected in memory: most of such an image's time would go into making its file twice.
SMALL = 256 << 10
# Of what is longer, so much stays in memory as well: hardly any header is longer, and the file is on the disk.
_HEAD = 64 << 10


class IncomingFile(BytesIO):
    """One data set being received: `write` appends to a file with a DICOM header of ours before it.

    Looks like the buffer in which pynetdicom collects a data set, but keeps no more than `SMALL` bytes in memory.
    `write` never raises: after a failure it drops what comes, and `failure` says what went wrong. The file is removed
    by `close`, unless it was taken away before.

    Attributes:
        failure: None while all is well.
        length: bytes of the data set so far.
    """

    def __init__(self, folder: Path, header: bytes, min_free: int) -> None:
        super().__init__()
        self.failure: OSError | None = None
        self.length = 0
        self._folder = folder
        self._min_free = min_free
        self._look_at = _LOOK_AGAIN
        self._digest = new_digest()
        # Bytes of the header, which are not digested, that are still to be written.
        self._header = len(header)
        self._file: BlockFile | None = None
        self._beginning = bytearray(header)
        try:
            _check_space(folder, min_free)
        except OSError as error:
            self.fail(error)

    @property
    def path(self) -> Path | None:
        """The temporary file; None when there is none, or none yet."""
        return None if self._file is None else self._file.path

    @property
    def file_digest(self) -> str:
        """Digest of the data set so far, without the file's header."""
        digest = self._digest.copy()
        with memoryview(self._beginning) if self._file is None else self._file.pending as rest:
            digest.update(rest[self._header :])
        return digest.hexdigest()

    def write(self, data: Buffer, /) -> int:
        """Append a piece of the data set; returns its length."""
        return self.write_pieces([memoryview(data)])

    def write_pieces(self, pieces: Sequence[memoryview]) -> int:
        """Append pieces of the data set, of bytes each, without copying them together; returns their length."""
        length = sum(map(len, pieces))
        self._grow(length, lambda: self._append(pieces, length))
        return length

    @property
    def room(self) -> memoryview | None:
        """Where the next piece may be put by whoever calls `fill` then, to be released before; None if it has none."""
        return None if self._file is None else self._file.room

    def fill(self, length: int) -> None:
        """Append so many bytes, which are the first of `room`; like `write` it never raises."""
        file = self._file
        assert file is not None
        self._grow(length, lambda: file.fill(length))

    def _grow(self, length: int, append: Callable[[], None]) -> None:
        if self.failure is None:
            try:
                append()
                self.length += length
                if self.length >= self._look_at:
                    self._look_at += _LOOK_AGAIN
                    _check_space(self._folder, self._min_free)
            except OSError as error:
                self.fail(error)

    def fail(self, error: OSError) -> None:
        """Give the file up for this reason."""
        self.failure = error
        self._remove()

    @property
    def beginning(self) -> bytearray:
        """The file's first bytes with its header; all of it as long as there is no `path`. Empty after a failure."""
        return self._beginning

    def finish(self) -> Path:
        """No more is coming: the complete file, not yet synced.

        Raises:
            OSError: receiving it has failed.
        """
        if self.failure is None:
            try:
                if self._file is None and not self.closed:
                    self._file = self._spill()
                if self._file is not None:
                    self._file.finish()
            except OSError as error:
                self.fail(error)
        if self.failure is not None:
            raise self.failure
        if self._file is None:
            raise OSError(errno.ENOENT, "the file was taken away already")
        return self._file.path

    def close(self) -> None:
        """Forget the data set; whoever wants to keep the file has moved it before."""
        if not self.closed:
            self._remove()
        super().close()

    def _append(self, pieces: Sequence[memoryview], length: int) -> None:
        if self._file is None and len(self._beginning) + length > SMALL:
            self._file = self._spill()
        if self._file is not None:
            self._file.append(pieces)
        most = SMALL if self._file is None else _HEAD
        for piece in pieces if len(self._beginning) < most else ():
            self._beginning += piece[: max(0, most - len(self._beginning))]

    def _spill(self) -> BlockFile:
        """A file with what is kept in memory, to be followed by what comes from now on."""
        file = BlockFile(self._folder, SUFFIX, self._take_in)
        with memoryview(self._beginning) as beginning:
            file.append([beginning])
        return file

    def _take_in(self, block: memoryview) -> None:
        """Digest what is about to be written: in large blocks, since other threads wait for their turn after each."""
        self._digest.update(block[self._header :])
        self._header = 0

    def _remove(self) -> None:
        self._beginning = bytearray()
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            file.close()
        except OSError as error:
            self.failure = self.failure or error
        with contextlib.suppress(FileNotFoundError):
            file.path.unlink()


class Spool:
    """The folder in which files are received.

    Args:
        min_free: bytes that stay free; below that, nothing is taken in.
    """

    def __init__(self, folder: DataDir, min_free: int) -> None:
        self._folder = folder.incoming
        self._min_free = min_free

    def open(self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> IncomingFile:
        """A file for the data set that is about to come; one that has failed already when there is no space."""
        header = file_header(sop_class_uid, sop_instance_uid, transfer_syntax_uid)
        return IncomingFile(self._folder, header, self._min_free)

    def free_bytes(self) -> int:
        """Bytes that may still be written to the folder's file system."""
        return _free_bytes(self._folder)

    def sweep(self) -> int:
        """Remove what processes that have ended left half received; returns how many files."""
        return sum(_remove_leftover(path) for path in self._folder.glob(f"*{SUFFIX}"))


def _remove_leftover(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink()
        return True


def _free_bytes(folder: Path) -> int:
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize


def _check_space(folder: Path, min_free: int) -> None:
    if _free_bytes(folder) < min_free:
        raise OSError(errno.ENOSPC, "less free space than dicom.min_free_mib")
