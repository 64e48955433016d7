"""The index beside faiss, on the same vectors: recall, query and build time, memory, Hamming scan, restart.

Run it with `python -m benchmarks.index`; `--million` repeats it with 1,000,000 images (some 8 GiB of memory, 12 GB of
disk, and an hour or two to build the graphs on two cores). With `--keep FOLDER` all that is built stays there: a run
that was ended goes on where it was, and one that finds everything only asks and measures. Vectors are drawn so that
they cluster like those of real images, see `benchmarks/crowd.py`.
"""

from __future__ import annotations

import os

# One thread for every matrix product, here and in the processes started from here; read when numpy is loaded.
os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.crowd import DIM, Population, population
from benchmarks.engines import FAISS, GROUPS, OURS, K, Measured, ask, build, median_milliseconds, place
from benchmarks.record import Row, append_rows
from benchmarks.restart import RERANKED, fill_archive, started
from config.settings import load_settings
from retrieval.index.hamming import CodeTable

Groups = tuple[tuple[str, ...], ...]

PROBES = 500
RECALL = 0.98
_BLOCK = 50_000
console = Console(width=140)


@dataclass(frozen=True)
class Bar:
    """A measured value that must not be above (or, `at_least`, below) a limit."""

    measure: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def kept(self) -> bool:
        """Whether the limit is kept; not for a value that could not be measured."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@click.command()
@click.option("--images", default=100_000, show_default=True, help="Images in the gallery.")
@click.option("--million", is_flag=True, help="The same again with 1,000,000 images.")
@click.option("--seed", default=0, show_default=True, help="Of the crowd.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for all that is built, used again where it is.")
@click.option("--only-build", is_flag=True, help="Build what --keep lacks, and measure another time.")
@click.option("--alone", is_flag=True, help="Leave out faiss's graph, which takes as long to build as ours.")
@click.option("--only-scans", is_flag=True, help="Measure the Hamming scans alone; no graph is needed.")
@click.option("--record/--no-record", default=True, show_default=True, help="Append to results/index.csv.")
def main(
    images: int,
    million: bool,
    seed: int,
    keep: Path | None,
    only_build: bool,
    alone: bool,
    only_scans: bool,
    record: bool,
) -> None:
    """Build every index over one crowd, ask the same questions, and hold the answers against exact search."""
    for size in (images, 1_000_000) if million else (images,):
        if only_scans:
            rows = list(_measure_scans(size, seed))
            if record:
                append_rows("index", rows)
            continue
        with _folder(keep, size, seed) as folder:
            groups = tuple(tuple(name for name in group if not (alone and name == FAISS)) for group in GROUPS)
            _prepare(folder, size, seed, groups)
            if only_build:
                continue
            rows = list(_measure(folder, size, groups))
        if record:
            append_rows("index", rows)


@contextmanager
def _folder(keep: Path | None, size: int, seed: int) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="lungprint-index-") as scratch:
            yield Path(scratch)
    else:
        folder = keep / f"{size}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def _prepare(folder: Path, size: int, seed: int, groups: Groups) -> None:
    """Draw, build and file what is not there yet."""
    if not (folder / "nearest.npy").exists():
        _write(folder, population(size, PROBES, seed))
    options = load_settings(folder, environ={}).index
    for name in track([name for group in groups for name in group], "building", transient=True):
        build(name, folder, options)
    if not (folder / "data" / "index").exists():
        # What a run that was ended has filed of it is of no use.
        shutil.rmtree(folder / "data", ignore_errors=True)
        fill_archive(folder / "data", _crowd(folder))
        shutil.copytree(place(OURS, folder), folder / "copied", ignore=shutil.ignore_patterns("built.json"))
        shutil.rmtree(folder / "data" / "index", ignore_errors=True)
        (folder / "copied").rename(folder / "data" / "index")


def _conditions(size: int) -> str:
    return f"{size} images, {DIM}-d, faiss {metadata.version('faiss-cpu')}"


def _measure_scans(size: int, seed: int) -> Iterator[Row]:
    scans, conditions = list(_scans(population(size, PROBES, seed))), _conditions(size)
    yield from (Row("index", measure, value, "ms", conditions) for measure, value in scans)
    bars = _bars_of_scans(scans)
    yield from (Row("index", bar.measure, bar.value, bar.unit, conditions) for bar in bars)
    _show({}, bars, conditions)


def _bars_of_scans(scans: Sequence[tuple[str, float]]) -> list[Bar]:
    return [Bar(f"Hamming scan / faiss BinaryFlat, {name}", a / b, 1.5, "ratio") for name, a, b in _paired(scans)]


def _measure(folder: Path, size: int, groups: Groups) -> Iterator[Row]:
    conditions = _conditions(size)
    options = load_settings(folder, environ={}).index
    engines: dict[str, Measured] = {}
    for group in track(groups, "asking", transient=True):
        points = ask(group, folder, options)
        engines |= {name: Measured(name, build(name, folder, options), points[name]) for name in group}
    for engine in engines.values():
        yield from _rows(engine, size, conditions)
    scans = list(_scans(_crowd(folder)))
    yield from (Row("index", measure, value, "ms", conditions) for measure, value in scans)
    start = started(folder / "data")
    yield Row("index", "restart to first answer", start.seconds, "s", conditions)
    yield Row("index", "memory of index, persons, codes and keys", start.memory / 2**20, "MiB", conditions)
    yield Row("index", f"codes of {RERANKED} candidates fetched and ranked", start.rerank_ms, "ms", conditions)
    yield Row("index", "candidates of a probe, re-rank included", start.candidates_ms, "ms", conditions)
    beside = []
    if FAISS in engines:
        ratio = _ratio(engines[OURS].at_recall(RECALL), engines[FAISS].at_recall(RECALL))
        beside = [Bar(f"{OURS} / {FAISS}, query at recall {RECALL}", ratio, 1.0, "ratio")]
    raw = size * DIM * 4
    chosen = next(point for point in engines[OURS].points if point.width == options.ef_search)
    bars = [
        Bar(f"recall@{K} of {OURS}, ef_search {options.ef_search}", chosen.recall, RECALL, "share", at_least=True),
        *beside,
        Bar(f"re-rank of {RERANKED} candidates", start.rerank_ms, 0.1, "ms"),
        *_bars_of_scans(scans),
        Bar("restart to first answer", start.seconds, 30.0, "s"),
        Bar(f"memory of {OURS} / raw vectors", engines[OURS].built.memory / raw, 1.6, "ratio"),
        Bar("memory of index, persons, codes and keys / raw vectors", start.memory / raw, 1.6, "ratio"),
    ]
    yield from (Row("index", bar.measure, bar.value, bar.unit, conditions) for bar in bars if bar.unit == "ratio")
    _show(engines, bars, conditions)


def _write(folder: Path, crowd: Population) -> None:
    """What the processes of the engines read: vectors, probes, and the probes' true neighbours int64 (q, 10)."""
    rows = np.zeros((len(crowd.probes), 0), np.int64)
    cosines = np.zeros((len(crowd.probes), 0), np.float32)
    for start in track(range(0, len(crowd.gallery), _BLOCK), "exact neighbours", transient=True):
        found = crowd.probes @ crowd.gallery[start : start + _BLOCK].T
        near = np.argpartition(-found, K - 1, axis=1)[:, :K]
        rows = np.concatenate([rows, near + start], axis=1)
        cosines = np.concatenate([cosines, np.take_along_axis(found, near, axis=1)], axis=1)
    best = np.argsort(-cosines, axis=1)[:, :K]
    for field in fields(Population):
        np.save(folder / f"{field.name}.npy", getattr(crowd, field.name))
    np.save(folder / "nearest.npy", np.take_along_axis(rows, best, axis=1))


def _crowd(folder: Path) -> Population:
    return Population(**{field.name: np.load(folder / f"{field.name}.npy") for field in fields(Population)})


def _scans(crowd: Population) -> Iterator[tuple[str, float]]:
    """Milliseconds of one exact Hamming scan, ours and that of faiss, by turns so that both see the same machine."""
    import faiss

    faiss.omp_set_num_threads(1)
    theirs = faiss.IndexBinaryFlat(8 * crowd.gallery_codes.shape[1])
    theirs.add(crowd.gallery_codes)
    ours, ids = CodeTable(crowd.gallery_codes.shape[1]), np.arange(len(crowd.gallery_codes))
    ours.put(ids, crowd.gallery_codes)
    for k in (K, 100):
        probes = crowd.probe_codes[:200]
        _check_scans(ours, theirs, ids, probes[:20], k)
        turns = [
            (
                median_milliseconds(lambda probe, k=k: ours.nearest(probe, ids, k), probes),
                median_milliseconds(lambda probe, k=k: theirs.search(probe[None], k), probes),
            )
            for _ in range(5)
        ]
        mine, other = np.median(turns, axis=0).tolist()
        yield f"exact Hamming scan, k = {k}", mine
        yield f"exact Hamming scan, k = {k}, faiss BinaryFlat", other


def _check_scans(ours: CodeTable, theirs: object, ids: NDArray[np.int64], probes: NDArray[np.uint8], k: int) -> None:
    for probe in probes:
        expected = theirs.search(probe[None], k)[0][0]  # type: ignore[attr-defined]
        if ours.nearest(probe, ids, k).hammings.tolist() != expected.tolist():
            raise click.ClickException("The two scans do not agree; one of them is wrong.")


def _paired(scans: Sequence[tuple[str, float]]) -> Iterator[tuple[str, float, float]]:
    for (name, mine), (_, other) in zip(scans[::2], scans[1::2], strict=True):
        yield name.rpartition(", ")[2], mine, other


def _ratio(mine: float | None, other: float | None) -> float:
    return float("nan") if mine is None or other is None else mine / other


def _rows(engine: Measured, size: int, conditions: str) -> Iterator[Row]:
    built = engine.built
    yield Row("index", f"{engine.name}, build", built.seconds, "s", f"{conditions}, {built.threads} threads")
    yield Row("index", f"{engine.name}, build, CPU time", built.cpu_seconds, "s", conditions)
    yield Row("index", f"{engine.name}, memory / raw vectors", built.memory / (size * DIM * 4), "ratio", conditions)
    for point in engine.points:
        given = f"{conditions}, width {point.width}" if point.width else conditions
        yield Row("index", f"{engine.name}, recall@{K}", point.recall, "share", given)
        yield Row("index", f"{engine.name}, median query", point.milliseconds, "ms", f"{given}, 1 thread")


def _show(engines: Mapping[str, Measured], bars: Sequence[Bar], conditions: str) -> None:
    table = Table("index", "build s", "CPU s", "MiB", "width", f"recall@{K}", "median ms", box=None, title=conditions)
    for name, engine in engines.items():
        for number, point in enumerate(engine.points):
            built = engine.built
            cost = (f"{built.seconds:.1f}", f"{built.cpu_seconds:.1f}", f"{built.memory / 2**20:.0f}")
            shown = (name, *cost) if number == 0 else ("", "", "", "")
            table.add_row(*shown, str(point.width or ""), f"{point.recall:.4f}", f"{point.milliseconds:.3f}")
    if engines:
        console.print(table)
    table = Table("measure", "value", "limit", "", box=None)
    for bar in bars:
        limit = f"{'≥' if bar.at_least else '≤'} {bar.limit:g}"
        table.add_row(bar.measure, f"{bar.value:.3g} {bar.unit}", limit, "kept" if bar.kept else "[red]missed[/red]")
    console.print(table)


if __name__ == "__main__":
    main()
