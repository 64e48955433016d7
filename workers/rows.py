"""What is kept in memory beside the index: each gallery image's person and hash code, in arrays that grow."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import IndexInputInvalid


class GalleryRows:
    """Persons and codes of images by id; adding one is O(1), memory is 16 bytes and a code an image, and its key.

    Args:
        code_bytes: length of a packed code.
    """

    def __init__(self, code_bytes: int) -> None:
        self._count = 0
        self._ids = np.zeros(1024, np.int64)
        self._persons = np.zeros(1024, np.int64)
        self._codes = np.zeros((1024, code_bytes), np.uint8)
        self._row: dict[int, int] = {}
        self._images: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._count

    def __contains__(self, instance: int) -> bool:
        return instance in self._row

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids, int64 (count,), in the order of arrival."""
        return self._ids[: self._count]

    @property
    def persons(self) -> NDArray[np.int64]:
        """The persons of `ids`, int64 (count,)."""
        return self._persons[: self._count]

    @property
    def codes(self) -> NDArray[np.uint8]:
        """The codes of `ids`, uint8 (count, bytes)."""
        return self._codes[: self._count]

    @property
    def person_count(self) -> int:
        """How many different persons there are."""
        return len(self._images)

    def images_of(self, person: int) -> int:
        """How many images a person has."""
        return self._images[person]

    def add(self, ids: NDArray[np.int64], persons: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Add or replace images: ids int64 (n,), persons int64 (n,), codes uint8 (n, bytes).

        Raises:
            IndexInputInvalid: codes of another length.
        """
        if codes.shape != (len(ids), self._codes.shape[1]) or len(persons) != len(ids):
            raise IndexInputInvalid("Codes of another length cannot join this gallery.")
        self._reserve(self._count + len(ids))
        for number, person, code in zip(ids.tolist(), persons.tolist(), codes, strict=True):
            row = self._row.setdefault(number, self._count)
            if row < self._count:
                self._leave(int(self._persons[row]))
            else:
                self._count += 1
            self._ids[row], self._persons[row], self._codes[row] = number, person, code
            self._images[person] += 1

    def at(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Persons int64 (n,) and codes uint8 (n, bytes) of known ids int64 (n,)."""
        rows = np.array([self._row[number] for number in ids.tolist()], np.int64)
        return self._persons[rows], self._codes[rows]

    def _leave(self, person: int) -> None:
        self._images[person] -= 1
        if not self._images[person]:
            del self._images[person]

    def _reserve(self, rows: int) -> None:
        if rows <= len(self._ids):
            return
        size = max(rows, 2 * len(self._ids))
        for name in ("_ids", "_persons", "_codes"):
            old: NDArray[np.int64] = getattr(self, name)
            new = np.zeros((size, *old.shape[1:]), old.dtype)
            new[: self._count] = old[: self._count]
            setattr(self, name, new)
