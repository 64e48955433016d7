"""What is kept in memory beside the index: each gallery image's person and hash code, in arrays that grow."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import IndexInputInvalid
from retrieval.index.base import check_once
from retrieval.index.growing import grown
from retrieval.index.hamming import CodeTable
from retrieval.index.id_map import MISSING, IdMap


class GalleryRows:
    """Persons and codes of images by id; memory is 20 bytes and a code an image.

    A removed image's row is taken by the last one, so the rows in use are always the first `len(self)`.

    Args:
        code_bytes: length of a packed code, even: the first half is of identity, the second of findings.

    Attributes:
        identity, findings: the halves of the codes, row by row, to be scanned; row i is of `ids[i]`.
    """

    def __init__(self, code_bytes: int) -> None:
        self._half = code_bytes // 2
        self._ids = np.zeros(1024, np.int64)
        self._persons = np.zeros(1024, np.int64)
        self.identity = CodeTable(self._half)
        self.findings = CodeTable(self._half)
        self._row = IdMap()
        self._images: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, instance: int) -> bool:
        return instance in self._row

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids, int64 (count,), in the order of their rows."""
        return self._ids[: len(self)]

    @property
    def persons(self) -> NDArray[np.int64]:
        """The persons of `ids`, int64 (count,)."""
        return self._persons[: len(self)]

    @property
    def person_count(self) -> int:
        """How many different persons there are."""
        return len(self._images)

    def images_of(self, person: int) -> int:
        """How many images a person has."""
        return self._images[person]

    def add(self, ids: NDArray[np.int64], persons: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Add or replace images: ids int64 (n,), each once, persons int64 (n,), codes uint8 (n, bytes).

        Raises:
            IndexInputInvalid: codes of another length, or a repeated id; nothing has changed.
        """
        if codes.shape != (len(ids), 2 * self._half) or len(persons) != len(ids):
            raise IndexInputInvalid("Codes of another length cannot join this gallery.")
        check_once(ids)
        rows = self._row.rows(ids)
        fresh = rows == MISSING
        self._leave(self._persons[rows[~fresh]])
        rows[fresh] = np.arange(len(self), len(self) + np.count_nonzero(fresh))
        self._row.put(ids, rows)
        self._ids, self._persons = grown(self._ids, len(self)), grown(self._persons, len(self))
        self._ids[rows], self._persons[rows] = ids, persons
        self.identity.put(rows, codes[:, : self._half])
        self.findings.put(rows, codes[:, self._half :])
        self._images.update(persons.tolist())

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget ids int64 (n,); unknown ones are ignored."""
        rows = np.sort(self._row.drop(ids))
        self._leave(self._persons[rows])
        last = len(self) + len(rows)
        for row in rows[::-1].tolist():
            last -= 1
            if row != last:
                to, taken = np.array([row]), np.array([last])
                self._ids[to], self._persons[to] = self._ids[taken], self._persons[taken]
                self.identity.put(to, self.identity.at(taken))
                self.findings.put(to, self.findings.at(taken))
                self._row.put(self._ids[to], to)

    def at(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Persons int64 (n,) and codes uint8 (n, bytes) of known ids int64 (n,)."""
        rows = self._row.known(ids)
        return self._persons[rows], np.concatenate([self.identity.at(rows), self.findings.at(rows)], axis=1)

    def _leave(self, persons: NDArray[np.int64]) -> None:
        for person in persons.tolist():
            self._images[person] -= 1
            if not self._images[person]:
                del self._images[person]
