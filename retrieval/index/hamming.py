"""Exact search by hash code: every code of the gallery is compared with the probe's, in blocks, by counting bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.codes import Code
from retrieval.errors import CodeLengthMismatch, IndexInputInvalid
from retrieval.index.growing import grown

# Rows compared in one go: numpy pays for each call, and what a call leaves (1.1 MiB) is read again by the next.
_BLOCK = 131_072
# The nearest are first found among a part of the rows: how near these are spares most others a closer look.
_SHARES = (256, 16)
# Lines of the table in which distances are looked through.
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

    Memory: the codes, rounded up to 8 bytes, in arrays that grow by doubling; once it was scanned, a byte a row (two
    for codes of 255 bits and more) and 1.1 MiB to count in. Only one thread may call: all scans count in one memory.

    Args:
        code_bytes: length of a packed code, from 1.
    """

    def __init__(self, code_bytes: int) -> None:
        self._bytes = code_bytes
        self._words = np.zeros((-(-code_bytes // 8), 1024), np.uint64)
        # Memory of its own to count in: fresh memory would cost as much as the counting.
        self._differing = np.empty(_BLOCK, np.uint64)
        self._of_word = np.empty(_BLOCK, np.uint8)
        self._counts: Count = np.empty(1024, np.uint8 if 8 * code_bytes < 255 else np.uint16)

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
        return self._count(probe, count).astype(np.int64)

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
        counts = self._count(probe, len(ids))
        if allowed is not None:
            np.putmask(counts, ~allowed, np.iinfo(counts.dtype).max)
        rows = _within(counts, self._edge(counts, k))
        # Distance and id are one number, so one partition finds the nearest, ties by id.
        keys = counts[rows].astype(np.int64) << _ID_BITS | ids[rows]
        if len(keys) > k:
            keys = np.partition(keys, k - 1)[:k]
        keys.sort()
        return CodeHits(keys & _ID_MASK, keys >> _ID_BITS)

    def _count(self, probe: Code, count: int) -> Count:
        """Differing bits (count,) of the first `count` rows; the next call overwrites them."""
        words = self._as_words(probe[None]).T
        self._counts = grown(self._counts, count)
        for low in range(0, count, _BLOCK):
            rows = slice(low, min(low + _BLOCK, count))
            self._count_block(self._words[:, rows], words, self._counts[rows])
        return self._counts[:count]

    def _count_block(self, columns: NDArray[np.uint64], words: NDArray[np.uint64], counts: Count) -> None:
        """Write into counts (n,) by how many bits n ≤ `_BLOCK` codes uint64 (words, n) differ from words (words, 1)."""
        differing, of_word = self._differing[: len(counts)], self._of_word[: len(counts)]
        np.bitwise_xor(columns[0], words[0], out=differing)
        np.bitwise_count(differing, out=counts)
        for column, word in zip(columns[1:], words[1:], strict=True):
            np.bitwise_xor(column, word, out=differing)
            np.bitwise_count(differing, out=of_word)
            np.add(counts, of_word, out=counts)

    def _edge(self, counts: Count, k: int) -> int:
        """A distance that the `k` nearest do not exceed: that of the `k` nearest of a part of them."""
        edge = 8 * self._bytes
        for share in _SHARES:
            part = counts[: len(counts) // share]
            near = part[part <= edge]
            if len(near) >= k:
                edge = int(np.partition(near, k - 1)[k - 1])
        return edge

    def _as_words(self, codes: Code) -> NDArray[np.uint64]:
        if codes.ndim != 2 or codes.shape[1] != self._bytes:
            raise CodeLengthMismatch(
                f"Codes of shape {codes.shape} cannot be compared with codes of {8 * self._bytes} bits: "
                "encode the images with the same network."
            )
        padded = np.zeros((len(codes), 8 * len(self._words)), np.uint8)
        padded[:, : self._bytes] = codes
        return padded.view(np.uint64)


def _within(counts: Count, edge: int) -> NDArray[np.int64]:
    """Which of some distances are `edge` at most, int64 (m,), in no order."""
    columns = len(counts) // _LINES
    table = counts[: _LINES * columns].reshape(_LINES, columns)
    # Few columns have any: the least of each tells which in one pass, faster than to ask every distance.
    some = np.flatnonzero(np.minimum.reduce(table, axis=0) <= edge)
    lines, at = np.divmod(np.flatnonzero(table[:, some] <= edge), max(len(some), 1))
    rest = _LINES * columns + np.flatnonzero(counts[_LINES * columns :] <= edge)
    return np.concatenate([lines * columns + some[at], rest])
