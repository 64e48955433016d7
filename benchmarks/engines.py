"""Indexes over the same vectors, each built and asked in a process of its own so that its memory can be told."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.crowd import DIM
from config.settings import IndexOptions
from retrieval.index import ExactIndex, GalleryIndex, HnswIndex, HnswOptions, LshIndex, LshOptions
from retrieval.index.snapshot import write_snapshot

K = 10
MODEL = "benchmark"
OURS, FAISS = "Lungprint hnsw", "faiss HNSWFlat"
# Widths of the search in a graph; the first are too narrow, the last wider than anybody needs.
WIDTHS = (40, 60, 80, 100, 140, 200, 300, 500)
# Vectors handed over at once, as the owner of the index does it at start.
_BULK = 20_000
_WARM_UP = 10
_FEW = 100
Answer = Callable[[NDArray[np.float32]], NDArray[np.int64]]


@dataclass(frozen=True)
class Point:
    """One way of asking: width of the search (0 where there is none), recall@10 in [0, 1], median milliseconds."""

    width: int
    recall: float
    milliseconds: float


@dataclass(frozen=True)
class Measured:
    """What an index cost: seconds and CPU seconds to build, bytes of memory, and how it answers."""

    name: str
    seconds: float
    cpu_seconds: float
    memory: int
    points: tuple[Point, ...]

    def at_recall(self, wanted: float) -> float | None:
        """Milliseconds at a recall, between the nearest two points; None where it is never reached."""
        below = None
        for point in self.points:
            if point.recall >= wanted:
                if below is None:
                    return point.milliseconds
                share = (wanted - below.recall) / (point.recall - below.recall)
                return below.milliseconds + share * (point.milliseconds - below.milliseconds)
            below = point
        return None


def measured(name: str, folder: Path, options: IndexOptions, snapshots: Path | None = None) -> Measured:
    """Build one of `ENGINES` over `folder`'s `gallery.npy` and ask it about `probes.npy`, in a new process.

    Args:
        snapshots: where one of ours leaves a snapshot.
    """
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (name, folder, options, snapshots))


def anonymous_memory() -> int:
    """Bytes of this process's memory that no file backs: vectors mapped from a file do not count."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (found,) = [line for line in lines if line.startswith("RssAnon")]
    return 1024 * int(found.split()[1])


def median_milliseconds(ask: Callable[[Any], object], questions: Any) -> float:
    """Median time of one question, in milliseconds, after some to warm up."""
    for question in questions[:_WARM_UP]:
        ask(question)
    times = []
    for question in questions:
        began = time.perf_counter()
        ask(question)
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1e3


def _measure(name: str, folder: Path, options: IndexOptions, snapshots: Path | None) -> Measured:
    vectors = np.load(folder / "gallery.npy", mmap_mode="r")
    probes, nearest = np.load(folder / "probes.npy"), np.load(folder / "nearest.npy")
    build = ENGINES[name]
    gc.collect()
    before, began, cpu = anonymous_memory(), time.perf_counter(), time.process_time()
    index, answers = build(vectors, options)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    gc.collect()
    memory = anonymous_memory() - before
    if snapshots is not None:
        write_snapshot(index, index.kind, MODEL, snapshots)
    points = []
    for width, answer in answers:
        # Where every vector is compared, fewer questions say as much.
        asked = probes if width else probes[:_FEW]
        found = [answer(probe) for probe in asked]
        recall = float(np.mean([len(np.intersect1d(f, n)) / K for f, n in zip(found, nearest, strict=False)]))
        points.append(Point(width, recall, median_milliseconds(answer, asked)))
    return Measured(name, seconds, cpu, memory, tuple(points))


def _ours(index: GalleryIndex, vectors: NDArray[np.float32]) -> Answer:
    for start in range(0, len(vectors), _BULK):
        some = np.array(vectors[start : start + _BULK])
        # The archive's ids begin with 1.
        index.add(np.arange(start + 1, start + 1 + len(some)), some)
    return lambda probe: index.search(probe, K).ids - 1


def _hnsw(vectors: NDArray[np.float32], options: IndexOptions) -> tuple[Any, Iterator[tuple[int, Answer]]]:
    index = HnswIndex(DIM, HnswOptions(options.m, options.ef_construction))
    answer = _ours(index, vectors)

    def answers() -> Iterator[tuple[int, Answer]]:
        for width in WIDTHS:
            index.ef_search = width
            yield width, answer

    return index, answers()


def _exact(vectors: NDArray[np.float32], options: IndexOptions) -> tuple[Any, Iterator[tuple[int, Answer]]]:
    index = ExactIndex(DIM)
    return index, iter([(0, _ours(index, vectors))])


def _lsh(vectors: NDArray[np.float32], options: IndexOptions) -> tuple[Any, Iterator[tuple[int, Answer]]]:
    index = LshIndex(DIM, LshOptions(options.lsh_bits, options.lsh_tables, options.lsh_candidates))
    return index, iter([(0, _ours(index, vectors))])


def _faiss_hnsw(vectors: NDArray[np.float32], options: IndexOptions) -> tuple[Any, Iterator[tuple[int, Answer]]]:
    import faiss

    index = faiss.IndexHNSWFlat(DIM, options.m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = options.ef_construction
    answer = _faiss(index, vectors)

    def answers() -> Iterator[tuple[int, Answer]]:
        for width in WIDTHS:
            index.hnsw.efSearch = width
            yield width, answer

    return index, answers()


def _faiss_flat(vectors: NDArray[np.float32], options: IndexOptions) -> tuple[Any, Iterator[tuple[int, Answer]]]:
    import faiss

    index = faiss.IndexFlatIP(DIM)
    return index, iter([(0, _faiss(index, vectors))])


def _faiss(index: Any, vectors: NDArray[np.float32]) -> Answer:
    import faiss

    faiss.omp_set_num_threads(os.cpu_count() or 1)  # as many as ours uses to build
    for start in range(0, len(vectors), _BULK):
        index.add(np.array(vectors[start : start + _BULK]))
    faiss.omp_set_num_threads(1)
    return lambda probe: index.search(probe[None], K)[1][0]


ENGINES: dict[str, Callable[..., tuple[Any, Iterator[tuple[int, Answer]]]]] = {
    "faiss FlatIP": _faiss_flat,
    "Lungprint exact": _exact,
    "Lungprint lsh": _lsh,
    OURS: _hnsw,
    FAISS: _faiss_hnsw,
}
