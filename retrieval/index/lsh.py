"""Locality-sensitive hashing (P5): images that share a bucket with the probe in some of several tables are compared."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.index.base import Candidates, best, checked, direction
from retrieval.index.growing import grown
from retrieval.index.id_map import IdMap
from retrieval.index.stored import read_vectors, write_vectors

# Rows that are not yet sorted into buckets are compared one by one; more than these, or a tenth of all, are sorted in.
_TAIL = 4096
_CHUNK = 65_536
# A gallery of so many times the candidates is compared whole sooner than its buckets are looked through.
_ALL_OF = 4
# The planes are drawn, not learned; they must be the same ones at each start.
_SEED = 5
_GONE = -1


@dataclass(frozen=True)
class LshOptions:
    """What the tables are like.

    Attributes:
        bits: K, sides of random planes that name a bucket, 1 to 16.
        tables: L, tables of buckets, from 1.
        candidates: images compared exactly, at least: the most often colliding ones.
    """

    bits: int = 10
    tables: int = 32
    candidates: int = 5000


class LshIndex:
    """L tables of 2^K buckets over one array of embeddings; removed rows stay as holes until the next sorting.

    Source: P5, the LSH index: candidates are the union of the probe's buckets, ordered by collisions, re-ranked by
    cosine. Where that gives too few, buckets that differ in one bit are joined in, then everything.
    """

    kind = "lsh"

    def __init__(self, dim: int, options: LshOptions | None = None) -> None:
        self._dim = dim
        self._options = options or LshOptions()
        shape = (dim, self._options.tables * self._options.bits)
        self._planes = np.random.default_rng(_SEED).normal(size=shape).astype(np.float32)
        self._masks = [_differing(self._options.bits, radius) for radius in (0, 1)]
        self._clear()

    def _clear(self) -> None:
        self._row = IdMap()
        self._rows = 0  # rows in use, holes included
        self._ids = np.zeros(64, np.int64)
        self._vectors = np.zeros((64, self._dim), np.float32)
        self._keys = np.zeros((self._options.tables, 64), np.uint16)
        self._sort()

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._dim

    @property
    def count(self) -> int:
        """How many ids are in it."""
        return len(self._row)

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids in it, int64 (count,), ascending."""
        return self._row.ids

    def __contains__(self, item: int) -> bool:
        return item in self._row

    def add(self, ids: NDArray[np.int64], embeddings: NDArray[np.float32]) -> None:
        """Add or replace embeddings; see `GalleryIndex.add`."""
        ids, vectors = checked(ids, embeddings, self._dim)
        self._forget(ids)
        self._reserve(self._rows + len(ids))
        self._put(ids, vectors)
        self._sort_if_due()

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget ids; unknown ones are ignored."""
        self._forget(ids)
        self._sort_if_due()

    def search(self, embedding: NDArray[np.float32], k: int) -> Candidates:
        """The `k` most similar of the images that collide most often; see `GalleryIndex.search`. One may be missed."""
        probe = direction(embedding, self._dim)
        rows = self._colliding(self._buckets_of(probe[None])[:, 0], max(k, self._options.candidates))
        return best(self._ids[rows], self._vectors[rows] @ probe, k)

    def embeddings(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeddings of known ids; see `GalleryIndex.embeddings`."""
        return self._vectors[self._row.known(ids)]

    def save(self, folder: Path) -> None:
        """Write the embeddings into an empty folder; the buckets follow from them."""
        rows = np.flatnonzero(self._ids[: self._rows] != _GONE)
        write_vectors(folder, self._ids[rows], self._vectors[rows])

    def load(self, folder: Path) -> None:
        """Replace the content by what `save` wrote."""
        ids, vectors = read_vectors(folder, self._dim)
        self._clear()
        self._reserve(len(ids))
        for start in range(0, len(ids), _CHUNK):
            rows = slice(start, min(start + _CHUNK, len(ids)))
            self._put(*checked(ids[rows], vectors[rows], self._dim))
        self._sort()

    def _buckets_of(self, vectors: NDArray[np.float32]) -> NDArray[np.uint16]:
        """The bucket of each vector (n, dim) in each table, uint16 (tables, n)."""
        weights = (1 << np.arange(self._options.bits)).astype(np.uint16)
        found = np.zeros((self._options.tables, len(vectors)), np.uint16)
        for start in range(0, len(vectors), _CHUNK):
            sides = vectors[start : start + _CHUNK] @ self._planes > 0
            shaped = sides.reshape(len(sides), self._options.tables, self._options.bits)
            found[:, start : start + _CHUNK] = (shaped @ weights).T
        return found

    def _colliding(self, buckets: NDArray[np.uint16], wanted: int) -> NDArray[np.int64]:
        """Rows int64 to compare: the `wanted` most often colliding ones; all, where finding these would take longer."""
        if self.count > _ALL_OF * wanted:
            found: list[NDArray[np.int64]] = []
            for masks in self._masks:
                found.append(self._in_buckets(buckets[:, None] ^ masks))
                rows, collisions = np.unique(np.concatenate(found), return_counts=True)
                if len(rows) >= wanted:
                    chosen: NDArray[np.int64] = rows[np.lexsort((rows, -collisions))[:wanted]]
                    return chosen
        return np.flatnonzero(self._ids[: self._rows] != _GONE)

    def _in_buckets(self, buckets: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Rows in some buckets uint16 (tables, b) of each table, once for each table that they are found in."""
        found = []
        for table, wanted in enumerate(buckets):
            starts, order = self._starts[table], self._order[table]
            found += [order[starts[bucket] : starts[bucket + 1]] for bucket in wanted.tolist()]
        tail = self._keys[:, self._sorted : self._rows]
        for bucket in buckets.T:
            found.append(self._sorted + np.nonzero(tail == bucket[:, None])[1])
        rows = np.concatenate(found).astype(np.int64)
        there: NDArray[np.int64] = rows[self._ids[rows] != _GONE]
        return there

    def _put(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Put images that are not there after the last row, for which there is room."""
        rows = slice(self._rows, self._rows + len(ids))
        self._ids[rows], self._vectors[rows], self._keys[:, rows] = ids, vectors, self._buckets_of(vectors)
        self._row.put(ids, np.arange(rows.start, rows.stop))
        self._rows = rows.stop

    def _forget(self, ids: NDArray[np.int64]) -> None:
        self._ids[self._row.drop(ids)] = _GONE

    def _sort_if_due(self) -> None:
        holes = self._rows - self.count
        if max(self._rows - self._sorted, holes) > max(_TAIL, self._rows // 10):
            self._sort()

    def _sort(self) -> None:
        """Close the holes and sort all rows into buckets."""
        kept = np.flatnonzero(self._ids[: self._rows] != _GONE)
        if len(kept) < self._rows:
            for name in ("_ids", "_vectors"):
                getattr(self, name)[: len(kept)] = getattr(self, name)[kept]
            self._keys[:, : len(kept)] = self._keys[:, kept]
            self._row.put(self._ids[: len(kept)], np.arange(len(kept)))
        self._rows = self._sorted = len(kept)
        keys = self._keys[:, : self._rows]
        self._order = np.argsort(keys, axis=1, kind="stable").astype(np.int32)
        every = np.arange(2**self._options.bits + 1)
        self._starts = np.array(
            [np.searchsorted(row[order], every) for row, order in zip(keys, self._order, strict=True)], np.int32
        ).reshape(len(keys), len(every))

    def _reserve(self, rows: int) -> None:
        self._ids, self._vectors = grown(self._ids, rows), grown(self._vectors, rows)
        self._keys = grown(self._keys, rows, axis=1)


def _differing(bits: int, radius: int) -> NDArray[np.uint16]:
    """All numbers of `bits` bits with `radius` of them set."""
    return np.array([sum(1 << bit for bit in chosen) for chosen in combinations(range(bits), radius)], np.uint16)
