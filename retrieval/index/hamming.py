"""Exact search by hash code: every code of the gallery is compared with the probe's, in blocks, by counting bits."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.codes import Code
from retrieval.errors import CodeLengthMismatch, IndexInputInvalid
from retrieval.index.growing import grown

# Rows compared in one go: their distances, four bytes each, are still at hand when they are narrowed to one.
_BLOCK = 65_536
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
        steps, apart = self.hammings[1:] - self.hammings[:-1], self.ids[1:] - self.ids[:-1]
        if ((steps < 0) | (steps == 0) & (apart <= 0)).any() or (self.hammings[:1] < 0).any():
            raise IndexInputInvalid("Hits must be sorted by Hamming distance, then by id, each id once.")

    def __len__(self) -> int:
        return len(self.ids)


class CodeTable:
    """Codes in numbered rows, scanned by faiss's Hamming kernel, which alone of what we know compares in one pass.

    Memory: the codes, rounded up to 8 bytes, in an array that grows by doubling; once it was scanned, a byte a row (two
    for codes of 255 bits and more) and 256 KiB. Only one thread may call: all scans count in one memory.

    Args:
        code_bytes: length of a packed code, from 1.
    """

    def __init__(self, code_bytes: int) -> None:
        self._bytes = code_bytes
        self._codes = np.zeros((1024, 8 * -(-code_bytes // 8)), np.uint8)
        # Memory of its own to count in: fresh memory would cost as much as the counting.
        self._differing = np.empty(_BLOCK, np.int32)
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
        padded = self._padded(codes)
        self._codes = grown(self._codes, int(rows.max(initial=-1)) + 1)
        self._codes[rows] = padded

    def at(self, rows: NDArray[np.int64]) -> Code:
        """Codes uint8 (n, bytes) of rows int64 (n,) that were written."""
        return self._codes[rows, : self._bytes]

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
        asked, width = self._padded(probe[None]), self._codes.shape[1]
        self._counts = grown(self._counts, count)
        for low in range(0, count, _BLOCK):
            codes = self._codes[low : min(low + _BLOCK, count)]
            differing = self._differing[: len(codes)]
            one, others, found = (faiss.swig_ptr(array) for array in (asked, codes, differing))
            faiss.hammings(one, others, 1, len(codes), width, found)  # type: ignore[attr-defined]  # no stub
            np.copyto(self._counts[low : low + len(codes)], differing, casting="unsafe")
        return self._counts[:count]

    def _edge(self, counts: Count, k: int) -> int:
        """A distance that the `k` nearest do not exceed: that of the `k` nearest of a part of them."""
        edge = 8 * self._bytes
        for share in _SHARES:
            part = counts[: len(counts) // share]
            near = part[part <= edge]
            if len(near) >= k:
                edge = int(np.partition(near, k - 1)[k - 1])
        return edge

    def _padded(self, codes: Code) -> Code:
        """Codes (n, bytes) with zeros behind them up to whole words of 64 bits, as faiss reads them."""
        if codes.ndim != 2 or codes.shape[1] != self._bytes:
            raise CodeLengthMismatch(
                f"Codes of shape {codes.shape} cannot be compared with codes of {8 * self._bytes} bits: "
                "encode the images with the same network."
            )
        padded = np.zeros((len(codes), self._codes.shape[1]), np.uint8)
        padded[:, : self._bytes] = codes
        return padded


def _within(counts: Count, edge: int) -> NDArray[np.int64]:
    """Which of some distances are `edge` at most, int64 (m,), in no order."""
    columns = len(counts) // _LINES
    table = counts[: _LINES * columns].reshape(_LINES, columns)
    # Few columns have any: the least of each tells which in one pass, faster than to ask every distance.
    some = np.flatnonzero(np.minimum.reduce(table, axis=0) <= edge)
    lines, at = np.divmod(np.flatnonzero(table.take(some, axis=1) <= edge), max(len(some), 1))
    rest = _LINES * columns + np.flatnonzero(counts[_LINES * columns :] <= edge)
    return np.concatenate([lines * columns + some[at], rest])
