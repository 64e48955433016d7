"""What is kept in memory beside the index: each gallery image's person and hash code, in arrays that grow."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import IndexInputInvalid
from retrieval.index.hamming import CodeTable


class GalleryRows:
    """Persons and codes of images by id; memory is 16 bytes and a code an image, and its key.

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
        self._row: dict[int, int] = {}
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
        if len(np.unique(ids)) != len(ids):
            raise IndexInputInvalid("An id was given twice in one call.")
        before = len(self)
        rows = np.array([self._row.setdefault(number, len(self._row)) for number in ids.tolist()], np.int64)
        self._leave(self._persons[rows[rows < before]])
        self._reserve(len(self))
        self._ids[rows], self._persons[rows] = ids, persons
        self.identity.put(rows, codes[:, : self._half])
        self.findings.put(rows, codes[:, self._half :])
        self._images.update(persons.tolist())

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget ids int64 (n,); unknown ones are ignored."""
        for number in ids.tolist():
            row = self._row.pop(number, None)
            if row is None:
                continue
            self._leave(self._persons[row : row + 1])
            last = np.array([len(self)])
            if row != last[0]:
                self._ids[row], self._persons[row] = self._ids[last[0]], self._persons[last[0]]
                self.identity.put(np.array([row]), self.identity.at(last))
                self.findings.put(np.array([row]), self.findings.at(last))
                self._row[int(self._ids[row])] = row

    def at(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Persons int64 (n,) and codes uint8 (n, bytes) of known ids int64 (n,)."""
        rows = np.array([self._row[number] for number in ids.tolist()], np.int64)
        return self._persons[rows], np.concatenate([self.identity.at(rows), self.findings.at(rows)], axis=1)

    def _leave(self, persons: NDArray[np.int64]) -> None:
        for person in persons.tolist():
            self._images[person] -= 1
            if not self._images[person]:
                del self._images[person]

    def _reserve(self, rows: int) -> None:
        if rows > len(self._ids):
            more = np.zeros(max(rows, 2 * len(self._ids)) - len(self._ids), np.int64)
            self._ids, self._persons = np.concatenate([self._ids, more]), np.concatenate([self._persons, more])
