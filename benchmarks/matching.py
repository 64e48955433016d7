"""Two collections against each other: pair by pair, by scikit-learn, and in the blocks of `lungprint match`.

Run: `python -m benchmarks.matching`. All find the pairs above one cosine among the same random unit vectors, 3,000 and
100 as in P2; a second size shows how it grows. Results go to `results/matching.csv`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics.pairwise import cosine_similarity

from benchmarks.record import Row, append_rows
from retrieval.collection_matching import alike

Vectors = npt.NDArray[np.float32]
Find = Callable[[Vectors, Vectors], set[tuple[int, int]]]

DIM = 512
LEAST = 0.2
REPEATS = 5
P2_SIZE, LARGER = (3_000, 100), (6_000, 6_000)


def pair_by_pair(first: Vectors, second: Vectors) -> set[tuple[int, int]]:
    """P2's element-wise comparison."""
    return {(i, j) for i, x in enumerate(first) for j, y in enumerate(second) if float(np.dot(x, y)) >= LEAST}


def in_one_product(first: Vectors, second: Vectors) -> set[tuple[int, int]]:
    """scikit-learn's matrix of all cosines at once."""
    return _pairs(*np.nonzero(cosine_similarity(first, second) >= LEAST))


def in_blocks(first: Vectors, second: Vectors) -> set[tuple[int, int]]:
    """This product."""
    found: set[tuple[int, int]] = set()
    for rows, columns in alike(first, second, LEAST, "cpu"):
        found |= _pairs(rows, columns)
    return found


def main() -> None:
    """Measure, compare what was found, and write the results down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the matrix products")
    torch.set_num_threads(parser.parse_args().threads)
    rows = []
    for size, ways in ((P2_SIZE, (pair_by_pair, in_one_product, in_blocks)), (LARGER, (in_one_product, in_blocks))):
        first, second = (_vectors(n, seed) for seed, n in enumerate(size))
        seconds, results = zip(*(_timed(way, first, second) for way in ways), strict=True)
        if any(len(result ^ results[0]) > 1e-5 * size[0] * size[1] for result in results):
            raise SystemExit("The ways do not find the same pairs.")
        conditions = f"{size[0]} x {size[1]} vectors, {DIM}-d, {len(results[-1])} pairs found"
        for way, taken in zip(ways, seconds, strict=True):
            rows.append(Row("matching", way.__name__, taken, "s", conditions))
            rows.append(Row("matching", f"{way.__name__}, times in_blocks", taken / seconds[-1], "x", conditions))
            print(f"{conditions}: {way.__name__} {taken:.3f} s, {taken / seconds[-1]:.1f} x in_blocks")
    print(append_rows("matching", rows))


def _timed(way: Find, first: Vectors, second: Vectors) -> tuple[float, set[tuple[int, int]]]:
    """The median of some runs, one for what takes long."""
    taken: list[float] = []
    while len(taken) < (1 if way is pair_by_pair else REPEATS):
        began = time.perf_counter()
        found = way(first, second)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken)), found


def _vectors(n: int, seed: int) -> Vectors:
    made = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def _pairs(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> set[tuple[int, int]]:
    return set(zip(rows.tolist(), columns.tolist(), strict=True))


if __name__ == "__main__":
    main()
