"""Exact search by hash code: every code of the gallery is compared with the probe's, in blocks, by counting bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.codes import Code
from retrieval.errors import CodeLengthMismatch, IndexInputInvalid
from retrieval.index.growing import grown

# Rows compared in one go: what is worked out from them (1.3 MiB) stays in the processor's cache.
_BLOCK = 131_072
# The first block is small: its k nearest are a bound that spares most later rows any work beyond the count.
_FIRST_BLOCK = 2048
# Lines of the table in which a block's distances are looked through.
_LINES = 16
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

    Memory: the codes, rounded up to 8 bytes, in arrays that grow by doubling, and 1.4 MiB to count in. Only one thread
    may call: all scans count in the same memory.

    Args:
        code_bytes: length of a packed code, from 1.
    """

    def __init__(self, code_bytes: int) -> None:
        self._bytes = code_bytes
        self._words = np.zeros((-(-code_bytes // 8), 1024), np.uint64)
        self._counter = _Counter(code_bytes)

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
        self._words = grown(self._words, int(rows.max(initial=-1)) + 1, axis=1)
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
        found = [self._counter.count(self._words[:, block], words).astype(np.int64) for block in blocks]
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
        keys = np.zeros(0, np.int64)
        edge = 8 * self._bytes
        low, size = 0, min(max(_FIRST_BLOCK, 2 * k), _BLOCK)
        while low < len(ids):
            block = slice(low, min(low + size, len(ids)))
            distances = self._counter.count(self._words[:, block], words)
            hits = self._counter.within(edge, block.stop - low, None if allowed is None else allowed[block])
            if len(hits):
                keys = np.concatenate([keys, distances[hits].astype(np.int64) << _ID_BITS | ids[block][hits]])
            if len(keys) > k:
                # Distance and id are one number, so one partition finds the nearest, ties by id.
                keys = np.partition(keys, k - 1)[:k]
                edge = int(keys[k - 1] >> _ID_BITS)
            low, size = block.stop, min(8 * size, _BLOCK)
        keys.sort()
        return CodeHits(keys[:k] & _ID_MASK, keys[:k] >> _ID_BITS)

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
        # With room to fill up the last line of the table that `within` makes of it.
        self._total: Count = np.empty(_BLOCK + _LINES, np.uint8 if 8 * code_bytes < 255 else np.uint16)
        self._beyond = np.iinfo(self._total.dtype).max

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

    def within(self, edge: int, size: int, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Which of the `size` codes counted last differ in `edge` bits at most, int64 (m,), of those allowed."""
        columns = -(-size // _LINES)
        total = self._total[: _LINES * columns]
        total[size:] = self._beyond
        if allowed is not None:
            np.putmask(total[:size], ~allowed, self._beyond)
        # Few blocks have more than some hits. The least of each column tells where, in one pass; to look at every code
        # by itself would take as long as counting its bits.
        table = total.reshape(_LINES, columns)
        some = np.flatnonzero(np.minimum.reduce(table, axis=0) <= edge)
        lines, at = np.divmod(np.flatnonzero(table[:, some] <= edge), max(len(some), 1))
        found: NDArray[np.int64] = lines * columns + some[at]
        return found
