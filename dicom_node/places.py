"""How many associations may be open, for one peer and in all, counted over all processes of a listener."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Process id of the holder (0 = free) and digest of the peer's name.
_PLACE = struct.Struct("=q8s")


class Places:
    """A table of places in memory that a process shares with those it forks; made before them.

    What a process holds when it is killed is given back with `forget`.

    Args:
        most: associations in all.
        most_of_one: associations of one peer.

    Example:
        >>> places = Places(2, 1)
        >>> first = places.take("PACS 10.0.0.7")
        >>> first is None, places.take("PACS 10.0.0.7") is None, places.take("XRAY 10.0.0.8") is None
        (False, True, False)
        >>> places.give_back(first)
        >>> places.take("PACS 10.0.0.7") is None
        False
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most_of_one = most_of_one
        self._table = mmap.mmap(-1, most * _PLACE.size)
        # A lock of the kernel's, which ends with the process that holds it, however it ends.
        self._file = os.memfd_create("places", os.MFD_CLOEXEC)
        self._threads = threading.Lock()

    def take(self, peer: str) -> int | None:
        """A place for one more association of this peer; None when there is none."""
        name = hashlib.blake2b(peer.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        with self._alone():
            places = list(_PLACE.iter_unpack(self._table[:]))
            if sum(holder != 0 and whose == name for holder, whose in places) >= self._most_of_one:
                return None
            free = next((number for number, (holder, _) in enumerate(places) if holder == 0), None)
            if free is not None:
                _PLACE.pack_into(self._table, free * _PLACE.size, os.getpid(), name)
            return free

    def give_back(self, place: int) -> None:
        """The association that took this place has ended."""
        with self._alone():
            _PLACE.pack_into(self._table, place * _PLACE.size, 0, bytes(8))

    def forget(self, process: int) -> None:
        """Free what a process held that has ended."""
        with self._alone():
            for number, (holder, _) in enumerate(_PLACE.iter_unpack(self._table[:])):
                if holder == process:
                    _PLACE.pack_into(self._table, number * _PLACE.size, 0, bytes(8))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
