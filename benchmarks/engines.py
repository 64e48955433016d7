"""Indexes over the same vectors, each built in a process of its own, kept on disk, and asked by turns with its peer."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.crowd import DIM
from config.settings import IndexOptions
from retrieval.index import ExactIndex, GalleryIndex, HnswIndex, HnswOptions, LshIndex, LshOptions
from retrieval.index.snapshot import load_snapshot, snapshots, write_snapshot

K = 10
MODEL = "benchmark"
OURS, FAISS = "Lungprint hnsw", "faiss HNSWFlat"
# Those of a group are asked by turns in one process, so that both see the same machine.
GROUPS = ((OURS, FAISS), ("Lungprint exact", "faiss FlatIP"), ("Lungprint lsh",))
# Widths of the search in a graph; the first are too narrow, the last wider than anybody needs.
WIDTHS = (40, 60, 80, 100, 140, 200, 300, 500, 700, 1000)
# Vectors handed over at once, as many bytes as the owner of the index does, and after how many the index is kept.
_BULK, _KEPT_EVERY = 50_000, 100_000
_WARM_UP, _TURN = 10, 25
_FEW = 100
_BUILT = "built.json"


@dataclass(frozen=True)
class Point:
    """One way of asking: width of the search (0 where there is none), recall@10 in [0, 1], median milliseconds."""

    width: int
    recall: float
    milliseconds: float


@dataclass(frozen=True)
class Built:
    """What an index cost: vectors in it, seconds, CPU seconds and threads to build it, bytes of memory at its end."""

    count: int
    seconds: float
    cpu_seconds: float
    threads: int
    memory: int


@dataclass(frozen=True)
class Measured:
    """What an index cost, and how it answers."""

    name: str
    built: Built
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


class Engine(Protocol):
    """An index under test; vectors are numbered from 0."""

    widths: Sequence[int]

    def add(self, start: int, vectors: NDArray[np.float32]) -> None: ...
    def save(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> int: ...
    def widen(self, width: int) -> None: ...
    def answer(self, probe: NDArray[np.float32]) -> NDArray[np.int64]: ...


class _Ours:
    def __init__(self, index: GalleryIndex, widths: Sequence[int] = (0,)) -> None:
        self._index: Any = index
        self.widths = widths

    def add(self, start: int, vectors: NDArray[np.float32]) -> None:
        # The archive's ids begin with 1.
        self._index.add(np.arange(start + 1, start + 1 + len(vectors)), vectors)

    def save(self, folder: Path) -> None:
        write_snapshot(self._index, self._index.kind, MODEL, folder)

    def load(self, folder: Path) -> int:
        load_snapshot(self._index, self._index.kind, MODEL, snapshots(folder)[0])
        return int(self._index.count)

    def widen(self, width: int) -> None:
        self._index.ef_search = width

    def answer(self, probe: NDArray[np.float32]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self._index.search(probe, K).ids - 1
        return found


class _Faiss:
    def __init__(self, index: Any, widths: Sequence[int] = (0,)) -> None:
        self._index = index
        self.widths = widths

    def add(self, start: int, vectors: NDArray[np.float32]) -> None:
        import faiss

        faiss.omp_set_num_threads(os.cpu_count() or 1)  # as many as ours uses to build
        self._index.add(vectors)
        faiss.omp_set_num_threads(1)

    def save(self, folder: Path) -> None:
        import faiss

        faiss.write_index(self._index, str(folder / "unfinished"))
        (folder / "unfinished").rename(folder / "index")

    def load(self, folder: Path) -> int:
        import faiss

        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(str(folder / "index"))
        return int(self._index.ntotal)

    def widen(self, width: int) -> None:
        self._index.hnsw.efSearch = width

    def answer(self, probe: NDArray[np.float32]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self._index.search(probe[None], K)[1][0]
        return found


def _faiss_hnsw(options: IndexOptions) -> Engine:
    import faiss

    index = faiss.IndexHNSWFlat(DIM, options.m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = options.ef_construction
    return _Faiss(index, WIDTHS)


def _faiss_flat(options: IndexOptions) -> Engine:
    import faiss

    return _Faiss(faiss.IndexFlatIP(DIM))


ENGINES: dict[str, Callable[[IndexOptions], Engine]] = {
    OURS: lambda options: _Ours(HnswIndex(DIM, HnswOptions(options.m, options.ef_construction)), WIDTHS),
    FAISS: _faiss_hnsw,
    "Lungprint exact": lambda options: _Ours(ExactIndex(DIM)),
    "faiss FlatIP": _faiss_flat,
    "Lungprint lsh": lambda options: _Ours(
        LshIndex(DIM, LshOptions(options.lsh_bits, options.lsh_tables, options.lsh_candidates))
    ),
}


def place(name: str, folder: Path) -> Path:
    """Where one of `ENGINES` is kept."""
    return folder / name.replace(" ", "-").lower()


def build(name: str, folder: Path, options: IndexOptions) -> Built:
    """Build one of `ENGINES` over `folder`'s `gallery.npy` in a new process and keep it; go on where one was ended."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_build, (name, folder, options))


def ask(names: Sequence[str], folder: Path, options: IndexOptions) -> dict[str, tuple[Point, ...]]:
    """Ask indexes that were built about `probes.npy`, by turns, in one new process with one thread."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_ask, (names, folder, options))


def anonymous_memory() -> int:
    """Bytes of this process's memory that no file backs: vectors mapped from a file do not count."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (found,) = [line for line in lines if line.startswith("RssAnon")]
    return 1024 * int(found.split()[1])


def median_milliseconds(ask: Callable[[Any], object], questions: Any) -> float:
    """Median time of one question, in milliseconds, after some to warm up."""
    for question in questions[:_WARM_UP]:
        ask(question)
    return float(np.median(_seconds(ask, questions))) * 1e3


def _seconds(ask: Callable[[Any], object], questions: Any) -> list[float]:
    times = []
    for question in questions:
        began = time.perf_counter()
        ask(question)
        times.append(time.perf_counter() - began)
    return times


def _build(name: str, folder: Path, options: IndexOptions) -> Built:
    vectors, kept = np.load(folder / "gallery.npy", mmap_mode="r"), place(name, folder)
    kept.mkdir(exist_ok=True)
    record = kept / _BUILT
    done = Built(**json.loads(record.read_text())) if record.exists() else Built(0, 0.0, 0.0, 0, 0)
    if done.count == len(vectors):
        return done
    gc.collect()
    before = anonymous_memory()
    engine = ENGINES[name](options)
    count = engine.load(kept) if done.count else 0
    seconds, cpu = done.seconds, done.cpu_seconds
    while count < len(vectors):
        some = np.array(vectors[count : count + _BULK])
        began, cpu_began = time.perf_counter(), time.process_time()
        engine.add(count, some)
        seconds, cpu = seconds + time.perf_counter() - began, cpu + time.process_time() - cpu_began
        count += len(some)
        if count % _KEPT_EVERY == 0 or count == len(vectors):
            del some
            gc.collect()
            done = Built(count, seconds, cpu, os.cpu_count() or 1, anonymous_memory() - before)
            engine.save(kept)
            record.write_text(json.dumps(asdict(done)))
    return done


def _ask(names: Sequence[str], folder: Path, options: IndexOptions) -> dict[str, tuple[Point, ...]]:
    engines = {name: ENGINES[name](options) for name in names}
    for name, engine in engines.items():
        engine.load(place(name, folder))
    probes, nearest = np.load(folder / "probes.npy"), np.load(folder / "nearest.npy")
    points: dict[str, list[Point]] = {name: [] for name in names}
    for width in next(iter(engines.values())).widths:
        # Where every vector is compared, fewer questions say as much.
        asked = probes if width else probes[:_FEW]
        times: dict[str, list[float]] = {name: [] for name in names}
        for engine in engines.values():
            if width:
                engine.widen(width)
        for start in range(0, len(asked), _TURN):
            for name, engine in engines.items():
                times[name] += _seconds(engine.answer, asked[start : start + _TURN])
        for name, engine in engines.items():
            found = [engine.answer(probe) for probe in asked]
            recall = float(np.mean([len(np.intersect1d(f, n)) / K for f, n in zip(found, nearest, strict=False)]))
            points[name].append(Point(width, recall, float(np.median(times[name])) * 1e3))
    return {name: tuple(found) for name, found in points.items()}
