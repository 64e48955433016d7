"""Tables that one paper has and no other: P2's thresholds and speed, P5's recall by bits and tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.bench.measures import normalised
from retrieval.evaluation.cohort import Cohort
from retrieval.index.lsh import LshIndex, LshOptions

Matrix = npt.NDArray[np.float32]

THRESHOLDS = (0.85, 0.90, 0.95, 0.99)
_COLLECTIONS = (3000, 100)
_BITS, _TABLES = (4, 8, 12), (2, 8, 32)
_NEAREST = 10
_THRESHOLDS = "P2, thresholds: "
_SPEED = f"P2, speed: {_COLLECTIONS[0]:,} x {_COLLECTIONS[1]} images"


@dataclass(frozen=True)
class Extra:
    """A table of its own: title, heading, and rows as texts."""

    title: str
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def threshold_table(name: str, similarity: Matrix, cohort: Cohort) -> Extra:
    """Recall and false positives, as a share of the true ones, at fixed cosines.

    Args:
        name: of the method. similarity: cosines (n, n) of the cohort's images.

    Source: P2, table 3. Such thresholds mean something else with every network; the product has none.
    """
    scores, same = similarity[cohort.pairs], cohort.same
    rows = []
    for threshold in THRESHOLDS:
        above = scores >= threshold
        hits, false = int((above & same).sum()), int((above & ~same).sum())
        rows.append(
            (
                f"{threshold:.2f}",
                f"{100 * hits / same.sum():.1f} %" if same.any() else "–",
                f"{100 * false / hits:.0f} %" if hits else "–",
            )
        )
    heading = ("cosine ≥", "recall", "false positives, of the true ones")
    return Extra(f"{_THRESHOLDS}{name}, {cohort.name}", heading, tuple(rows))


def product_speed(features: Matrix) -> Extra:
    """Cosines of 3,000 x 100 images one by one and by one matrix product.

    Args:
        features: float32 (n, d); repeated as often as needed.

    Source: P2, table 2 (36 times).
    """
    first, second = (np.resize(features, (count, features.shape[1])) for count in _COLLECTIONS)
    began = time.perf_counter()
    for one in first:
        for other in second:
            float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
    single = time.perf_counter() - began
    began = time.perf_counter()
    normalised(first) @ normalised(second).T
    product = time.perf_counter() - began
    row = (f"{single:.2f} s", f"{product:.4f} s", f"{single / product:.0f}")
    title = f"{_SPEED}, {features.shape[1]} numbers each"
    return Extra(title, ("element by element", "matrix product", "times faster"), (row,))


def lsh_table(name: str, features: Matrix, share: float = 0.1) -> Extra:
    """How much of exact search an LSH index finds among the most often colliding images, by bits K and tables L.

    Where fewer images collide than are to be compared, neighbouring buckets are joined in, and in the end everything:
    few tables can so find more than many, by comparing more.

    Args:
        name: of the method. features: float32 (n, d), n ≥ 2. share: of the images that are compared exactly.

    Source: P5.
    """
    vectors = normalised(features)
    ids = np.arange(len(vectors), dtype=np.int64)
    nearest = min(_NEAREST, len(vectors) - 1)
    exact = np.argsort(-(vectors @ vectors.T), axis=1, kind="stable")[:, : nearest + 1]
    candidates = max(nearest + 1, round(share * len(vectors)))
    rows = []
    for bits in _BITS:
        recalls = []
        for tables in _TABLES:
            index = LshIndex(vectors.shape[1], LshOptions(bits, tables, candidates))
            index.add(ids, vectors)
            found = [index.search(vector, nearest + 1).ids for vector in vectors]
            recalls.append(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True)]))
        rows.append((str(bits), *(f"{recall:.3f}" for recall in recalls)))
    title = f"P5, recall@{nearest + 1} of LSH with {candidates} of {len(vectors)} images compared: {name}"
    return Extra(title, ("bits K", *(f"{tables} tables" for tables in _TABLES)), tuple(rows))


def merged(tables: Sequence[Extra]) -> list[Extra]:
    """P2's tables of all networks and cohorts as one of each kind, in the place of the first; others as they are."""
    found: dict[str, list[Extra]] = {}
    for table in tables:
        kind = next((kind for kind in (_THRESHOLDS, _SPEED) if table.title.startswith(kind)), table.title)
        found.setdefault(kind, []).append(table)
    together = {_THRESHOLDS: _one_of_thresholds, _SPEED: _one_of_speed}
    return [together[kind](mine) if kind in together else mine[0] for kind, mine in found.items()]


def _one_of_thresholds(tables: Sequence[Extra]) -> Extra:
    parts: dict[str, dict[str, Extra]] = {}
    for table in tables:
        method, _, cohort = table.title.removeprefix(_THRESHOLDS).rpartition(", ")
        parts.setdefault(method, {})[cohort] = table
    names = list(next(iter(parts.values())))
    rows = [
        (method, threshold, *(cell for name in names for cell in mine[name].rows[place][1:]))
        for method, mine in parts.items()
        for place, (threshold, *_) in enumerate(mine[names[0]].rows)
    ]
    heading = ("method", tables[0].heading[0], *(f"{name}: {said}" for name in names for said in tables[0].heading[1:]))
    return Extra("P2, table 3: recall and false positives by threshold", heading, tuple(rows))


def _one_of_speed(tables: Sequence[Extra]) -> Extra:
    numbers = (table.title.removeprefix(f"{_SPEED}, ").removesuffix(" numbers each") for table in tables)
    rows = tuple((count, *table.rows[0]) for count, table in zip(numbers, tables, strict=True))
    return Extra(f"P2, table 2: {_SPEED.removeprefix('P2, ')}", ("numbers an image", *tables[0].heading), rows)
