"""Exact search by hash code: every code of the gallery is compared with the probe's, in blocks, by counting bits."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.codes import Code
from retrieval.errors import CodeLengthMismatch, IndexInputInvalid

# Rows compared in one go: what is worked out from them stays in the processor's cache.
_BLOCK = 131_072
# Rows that are worth a thread of their own, and how many threads at most the memory can feed.
_PART = 250_000
_THREADS = min(4, len(os.sched_getaffinity(0)))
# The first block is small: its k nearest are a bound that spares most later rows any work beyond the count.
_FIRST_BLOCK = 2048
# A distance and an id in one number, so that one partition orders by distance and then by id.
_ID_BITS = 48
_ID_MASK = np.int64((1 << _ID_BITS) - 1)

Count = NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True, eq=False)
class CodeHits:
    """Images found by their codes, nearest first.

    Attributes:
        ids: int64 (n,), each once.
        hammings: int64 (n,), differing bits, ascending; ties by id, ascending.

    Raises:
        IndexInputInvalid: the values break one of these rules.
    """

    ids: NDArray[np.int64]
    hammings: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.ids.shape != self.hammings.shape or self.ids.ndim != 1:
            raise IndexInputInvalid(
                f"There must be one distance an id, not {self.hammings.shape} for {self.ids.shape}."
            )
        steps = np.diff(self.hammings)
        if np.any(steps < 0) or np.any((steps == 0) & (np.diff(self.ids) <= 0)) or np.any(self.hammings[:1] < 0):
            raise IndexInputInvalid("Hits must be sorted by Hamming distance, then by id, each id once.")

    def __len__(self) -> int:
        return len(self.ids)


class CodeTable:
    """Codes in numbered rows, kept as columns of 64-bit words so that a scan reads memory in one sweep.

    Memory: the codes, rounded up to 8 bytes, in arrays that grow by doubling, and 1.3 MiB a thread to count in. A scan
    of many rows uses several threads by itself; only one thread may call.

    Args:
        code_bytes: length of a packed code, from 1.
    """

    def __init__(self, code_bytes: int) -> None:
        self._bytes = code_bytes
        self._words = np.zeros((-(-code_bytes // 8), 1024), np.uint64)
        self._counters = [_Counter(code_bytes) for _ in range(_THREADS)]
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="hamming")

    @property
    def code_bytes(self) -> int:
        """Length of a packed code."""
        return self._bytes

    def put(self, rows: NDArray[np.int64], codes: Code) -> None:
        """Write codes uint8 (n, bytes) into rows int64 (n,), which need not have existed.

        Raises:
            CodeLengthMismatch: the codes have another length.
        """
        words = self._as_words(codes)
        capacity = self._words.shape[1]
        if len(rows) and rows.max() >= capacity:
            more = np.empty((len(self._words), max(int(rows.max()) + 1, 2 * capacity)), np.uint64)
            more[:, :capacity] = self._words
            self._words = more
        self._words[:, rows] = words.T

    def at(self, rows: NDArray[np.int64]) -> Code:
        """Codes uint8 (n, bytes) of rows int64 (n,) that were written."""
        return np.ascontiguousarray(self._words[:, rows].T).view(np.uint8)[:, : self._bytes]

    def distances(self, probe: Code, count: int) -> NDArray[np.int64]:
        """Differing bits, int64 (count,), between a probe uint8 (bytes,) and the first `count` rows.

        Raises:
            CodeLengthMismatch: the probe was coded by another network.

        Source: P4, eq. 13.
        """
        words = self._as_words(probe[None])[0]
        blocks = (slice(low, min(low + _BLOCK, count)) for low in range(0, count, _BLOCK))
        found = [self._counters[0].count(self._words[:, block], words).astype(np.int64) for block in blocks]
        return np.concatenate([*found, np.zeros(0, np.int64)])

    def nearest(
        self, probe: Code, ids: NDArray[np.int64], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> CodeHits:
        """The `k` codes nearest to a probe, exactly; ties by id.

        Args:
            probe: uint8 (bytes,).
            ids: int64 (n,), the ids of the first n rows, which are those looked at; 0 ≤ id < 2⁴⁸, each once.
            k: how many at most, ≥ 1.
            allowed: bool (n,), rows that may be found; None = all.

        Raises:
            CodeLengthMismatch: the probe was coded by another network.

        Source: P4, eq. 13.
        """
        words = self._as_words(probe[None])[0]
        parts = min(len(self._counters), max(1, len(ids) // _PART))
        bounds = np.linspace(0, len(ids), parts + 1).astype(int).tolist()

        def look(part: int) -> NDArray[np.int64]:
            return self._keys(words, ids, k, allowed, slice(bounds[part], bounds[part + 1]), self._counters[part])

        keys = look(0) if parts == 1 else np.concatenate(list(self._threads.map(look, range(parts))))
        keys.sort()
        return CodeHits(keys[:k] & _ID_MASK, keys[:k] >> _ID_BITS)

    def _keys(
        self,
        words: NDArray[np.uint64],
        ids: NDArray[np.int64],
        k: int,
        allowed: NDArray[np.bool_] | None,
        rows: slice,
        counter: _Counter,
    ) -> NDArray[np.int64]:
        """Distance and id, in one number, of the `k` nearest codes in some rows, in no order."""
        keys = np.zeros(0, np.int64)
        edge = 64 * len(words)
        low, size = rows.start, min(max(_FIRST_BLOCK, 2 * k), _BLOCK)
        while low < rows.stop:
            block = slice(low, min(low + size, rows.stop))
            distances = counter.count(self._words[:, block], words)
            near = distances <= edge
            if allowed is not None:
                near &= allowed[block]
            hits = np.flatnonzero(near)
            if len(hits):
                keys = np.concatenate([keys, distances[hits].astype(np.int64) << _ID_BITS | ids[block][hits]])
            if len(keys) > k:
                keys = np.partition(keys, k - 1)[:k]
                edge = int(keys[k - 1] >> _ID_BITS)
            low, size = block.stop, min(8 * size, _BLOCK)
        return keys

    def _as_words(self, codes: Code) -> NDArray[np.uint64]:
        if codes.ndim != 2 or codes.shape[1] != self._bytes:
            raise CodeLengthMismatch(
                f"Codes of shape {codes.shape} cannot be compared with codes of {8 * self._bytes} bits: "
                "encode the images with the same network."
            )
        padded = np.zeros((len(codes), 8 * len(self._words)), np.uint8)
        padded[:, : self._bytes] = codes
        return padded.view(np.uint64)


class _Counter:
    """Counts differing bits of one block in memory of its own: fresh memory would cost as much as the counting."""

    def __init__(self, code_bytes: int) -> None:
        self._differing = np.empty(_BLOCK, np.uint64)
        self._counts = np.empty(_BLOCK, np.uint8)
        self._total: Count = np.empty(_BLOCK, np.uint8 if 8 * code_bytes < 256 else np.uint16)

    def count(self, columns: NDArray[np.uint64], words: NDArray[np.uint64]) -> Count:
        """Differing bits (n,) of n ≤ `_BLOCK` codes uint64 (words, n); the next call overwrites them."""
        size = columns.shape[1]
        differing, counts, total = self._differing[:size], self._counts[:size], self._total[:size]
        np.bitwise_xor(columns[0], words[0], out=differing)
        np.bitwise_count(differing, out=total)
        for column, word in zip(columns[1:], words[1:], strict=True):
            np.bitwise_xor(column, word, out=differing)
            np.bitwise_count(differing, out=counts)
            np.add(total, counts, out=total)
        return total
