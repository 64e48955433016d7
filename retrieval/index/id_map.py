"""Which row an image has: a number by id, four bytes an id, where a dictionary would take a hundred."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import IndexInputInvalid

MISSING = -1


class IdMap:
    """Rows by id. Ids are the archive's own, which count up from 1: memory is in proportion to the largest.

    Memory that was never written is not taken from the machine, so gaps between ids cost little.
    """

    def __init__(self) -> None:
        self._next = np.zeros(1024, np.int32)  # row + 1; 0 = missing
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, item: int) -> bool:
        return 0 <= item < len(self._next) and bool(self._next[item])

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids, int64 (count,), ascending."""
        return np.flatnonzero(self._next)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows int64 (n,) of ids int64 (n,), `MISSING` for those that are not there."""
        ids = np.asarray(ids, np.int64)
        inside = (ids >= 0) & (ids < len(self._next))
        return np.where(inside, self._next[np.where(inside, ids, 0)], 0).astype(np.int64) - 1

    def known(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of ids that are all there.

        Raises:
            IndexInputInvalid: one is not; the text names it.
        """
        rows = self.rows(ids)
        if len(missing := ids[rows == MISSING]):
            raise IndexInputInvalid(f"Image {missing[0]} is not in the index.")
        return rows

    def put(self, ids: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Give ids int64 (n,), each once and 0 ≤ id < 2³¹, rows int64 (n,).

        Raises:
            IndexInputInvalid: an id is out of range; nothing has changed.
        """
        if not len(ids):
            return
        if ids.min() < 0 or ids.max() >= 2**31:
            raise IndexInputInvalid("The id of an image is a number from 0 to 2147483647.")
        if ids.max() >= len(self._next):
            more = np.zeros(max(int(ids.max()) + 1, 2 * len(self._next)), np.int32)
            more[: len(self._next)] = self._next
            self._next = more
        self._count += int(np.count_nonzero(self._next[ids] == 0))
        self._next[ids] = rows + 1

    def drop(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Forget ids; the rows int64 (m,) of those that were there, in their order."""
        there = np.array(list(dict.fromkeys(number for number in ids.tolist() if number in self)), np.int64)
        rows = self.rows(there)
        self._next[there] = 0
        self._count -= len(there)
        return rows
