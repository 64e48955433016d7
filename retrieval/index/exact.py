"""Exact search: one blocked matrix product over all embeddings (P2); for small galleries and as a yardstick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.index.base import Candidates, best, checked, direction
from retrieval.index.growing import grown
from retrieval.index.id_map import MISSING, IdMap
from retrieval.index.stored import read_vectors, write_vectors

_BLOCK = 65_536


class ExactIndex:
    """All embeddings in one array that grows by doubling; a removed row is taken by the last one.

    Source: P2, collection matching.
    """

    kind = "exact"

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._clear()

    def _clear(self) -> None:
        self._count = 0
        self._vectors = np.zeros((64, self._dim), np.float32)
        self._ids = np.zeros(64, np.int64)
        self._row = IdMap()

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._dim

    @property
    def count(self) -> int:
        """How many ids are in it."""
        return self._count

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids in it, int64 (count,), ascending."""
        return self._row.ids

    def __contains__(self, item: int) -> bool:
        return item in self._row

    def add(self, ids: NDArray[np.int64], embeddings: NDArray[np.float32]) -> None:
        """Add or replace embeddings; see `GalleryIndex.add`."""
        ids, vectors = checked(ids, embeddings, self._dim)
        self._ids = grown(self._ids, self._count + len(ids))
        self._vectors = grown(self._vectors, self._count + len(ids))
        rows = self._row.rows(ids)
        fresh = np.flatnonzero(rows == MISSING)
        rows[fresh] = np.arange(self._count, self._count + len(fresh))
        self._row.put(ids, rows)
        self._ids[rows], self._vectors[rows] = ids, vectors
        self._count = len(self._row)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget ids; unknown ones are ignored."""
        for row in sorted(self._row.drop(ids).tolist(), reverse=True):
            self._count -= 1
            if row != self._count:
                self._ids[row], self._vectors[row] = self._ids[self._count], self._vectors[self._count]
                self._row.put(self._ids[row : row + 1], np.array([row]))

    def search(self, embedding: NDArray[np.float32], k: int) -> Candidates:
        """The `k` most similar images; see `GalleryIndex.search`."""
        probe = direction(embedding, self._dim)
        found_ids, found_cosines = np.zeros(0, np.int64), np.zeros(0, np.float32)
        for start in range(0, self._count, _BLOCK):
            end = min(start + _BLOCK, self._count)
            cosines = self._vectors[start:end] @ probe
            # All that reach the k-th place, so that ties at the edge are settled by id.
            edge = np.partition(cosines, -k)[-k] if len(cosines) > k else np.float32(-2)
            rows = np.flatnonzero(cosines >= edge)
            found_ids = np.concatenate([found_ids, self._ids[start:end][rows]])
            found_cosines = np.concatenate([found_cosines, cosines[rows]])
        return best(found_ids, found_cosines, k)

    def embeddings(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeddings of known ids; see `GalleryIndex.embeddings`."""
        return self._vectors[self._row.known(ids)]

    def save(self, folder: Path) -> None:
        """Write the index into an empty folder."""
        write_vectors(folder, self._ids[: self._count], self._vectors[: self._count])

    def load(self, folder: Path) -> None:
        """Replace the content by what `save` wrote."""
        ids, vectors = read_vectors(folder, self._dim)
        self._clear()
        self._ids, self._vectors = grown(self._ids, len(ids)), grown(self._vectors, len(ids))
        for start in range(0, len(ids), _BLOCK):
            self.add(ids[start : start + _BLOCK], vectors[start : start + _BLOCK])
