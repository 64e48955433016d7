"""Ways to compare vectors and codes, all as similarities: cosine, L1, L2, Jaccard and Hamming."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from retrieval.codes import hamming

Matrix = npt.NDArray[np.float32]
Measure = Callable[[Matrix, Matrix], Matrix]

# Numbers held at once while each pair is compared by itself.
_AT_ONCE = 1 << 24


def cosine(first: Matrix, second: Matrix) -> Matrix:
    """Cosine of rows float32 (n, d) and (m, d): float32 (n, m), in [-1, 1]; 0 where a row is zero. Source: P2."""
    return np.asarray(normalised(first) @ normalised(second).T, dtype=np.float32)


def minus_l1(first: Matrix, second: Matrix) -> Matrix:
    """Minus the sum of absolute differences: float32 (n, m). Source: P2."""
    return -_by_block(first, second, lambda a, b: np.abs(a - b).sum(axis=-1))


def minus_l2(first: Matrix, second: Matrix) -> Matrix:
    """Minus the Euclidean distance: float32 (n, m). Source: P2."""
    squared = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * (first @ second.T)
    return np.asarray(-np.sqrt(np.maximum(squared, 0)), dtype=np.float32)


def jaccard(first: Matrix, second: Matrix) -> Matrix:
    """Weighted Jaccard index of rows that are not negative: Σ min / Σ max, float32 (n, m), in [0, 1]. Source: P2.

    Negative values count as 0. Two rows of zeros have index 1.
    """
    a, b = np.maximum(first, 0), np.maximum(second, 0)
    least = _by_block(a, b, lambda x, y: np.minimum(x, y).sum(axis=-1))
    most = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - least
    return np.asarray(np.where(most > 0, least / np.maximum(most, 1e-12), 1.0), dtype=np.float32)


def minus_hamming(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Matrix:
    """Minus the Hamming distance of codes uint8 (n, bytes) and (m, bytes): float32 (n, m). Source: P4, eq. 13."""
    return np.stack([-hamming(row, second) for row in first]).astype(np.float32)


MEASURES: dict[str, Measure] = {"cosine": cosine, "L1": minus_l1, "L2": minus_l2, "Jaccard": jaccard}


def normalised(vectors: Matrix) -> Matrix:
    """Rows (n, d) divided by their length; rows of zeros stay."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _by_block(first: Matrix, second: Matrix, compare: Callable[[Matrix, Matrix], Matrix]) -> Matrix:
    found = np.empty((len(first), len(second)), dtype=np.float32)
    step = max(1, _AT_ONCE // max(1, second.size))
    for start in range(0, len(first), step):
        found[start : start + step] = compare(first[start : start + step, None], second[None])
    return found
