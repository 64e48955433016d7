"""`lungprint audit` of a large synthetic archive, and its comparison of all pairs beside faiss and numpy.

Run it with `python -m benchmarks.audit`. The command runs as users run it, on an archive in SQLite with planted errors.
Then, in the same run and on the same threads, a part of the vectors is compared with itself by `PairScan`, by faiss
(`IndexFlatIP.range_search`) and by a blocked numpy product, which must find the same pairs. The machine may be busy
with other things, so processor time stands beside the time by the clock. numpy takes its threads from the variable
OPENBLAS_NUM_THREADS.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.large_archive import LargeArchive, draw, filed, sizes
from benchmarks.record import Row, append_rows
from retrieval.audit.pairs import Pairs, PairScan

_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class Measured:
    """Seconds by the clock and of processors, and what came of it."""

    wall: float
    processor: float
    pairs: set[tuple[int, int]]


@click.command()
@click.option("--images", default=100_000, show_default=True, help="Images of the archive.")
@click.option("--part", default=20_000, show_default=True, help="Images compared by the peers too.")
@click.option("--errors", default=0.001, show_default=True, help="Share of planted errors of each kind.")
@click.option("--threads", default=2, show_default=True, help="Threads of all that is measured.")
@click.option("--seed", default=0, show_default=True, help="Of the crowd.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the archive, used again where it is.")
@click.option("--record/--no-record", default=True, show_default=True, help="Append to results/audit.csv.")
def main(images: int, part: int, errors: float, threads: int, seed: int, keep: Path | None, record: bool) -> None:
    """Audit the archive, then compare all pairs of a part of it three ways."""
    drawn = draw(images, *sizes(), errors, seed)
    conditions = f"{images} images of {drawn.embedding.shape[1]} numbers, {threads} threads"
    with filed(drawn, keep) as root:
        rows = _command(drawn, root, threads, conditions)
    rows += _peers(drawn, min(part, images), threads)
    table = Table("measure", "value", "unit", "conditions", box=None)
    for row in rows:
        table.add_row(row.measure, f"{row.value:.4g}", row.unit, row.conditions)
    Console(width=140).print(table)
    if record:
        append_rows("audit", rows)


def _command(drawn: LargeArchive, root: Path, threads: int, conditions: str) -> list[Row]:
    found = root / "found.csv"
    environ = os.environ | {"LUNGPRINT_ENCODER_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    arguments = [sys.executable, "-m", "cli.main", "audit", "--data-dir", str(root), "--csv", str(found)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*arguments, "--device", "cpu"], check=True, env=environ)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    above = after.ru_maxrss * 1024 - drawn.embedding.nbytes
    with found.open(newline="", encoding="utf-8") as stream:
        findings = list(csv.DictReader(stream))
    return [
        Row("audit", "time by the clock", wall, "s", conditions),
        Row("audit", "processor time", processor, "s", conditions),
        Row("audit", "memory above the vectors", above / 2**30, "GiB", conditions),
        *_found(drawn, findings, conditions),
    ]


def _found(drawn: LargeArchive, findings: list[dict[str, str]], conditions: str) -> list[Row]:
    """How many of the planted errors were found, and how many findings are none of them."""
    images = {(one["kind"], int(one["sop_instance_uid"].removeprefix("3."))) for one in findings}
    records = {
        frozenset((int(one["patient_id"][1:]), int(one["other_patient_id"][1:])))
        for one in findings
        if one["kind"] == "audit_duplicate_record"
    }
    label = {row for kind, row in images if kind in ("audit_wrong_patient", "audit_prior_mismatch")}
    again = {row for kind, row in images if kind == "audit_duplicate_image"}
    doubled = {frozenset((int(p), int(drawn.shown.max()) + 1 + i)) for i, p in enumerate(drawn.doubled)}
    # The only image under its label may as well be the first of a second record; that is how it is found then.
    misfiled = set(drawn.misfiled.tolist())
    mixed = {row: frozenset((int(drawn.filed[row]), int(drawn.shown[row]))) for row in misfiled}
    label |= {row for row, labels in mixed.items() if labels in records}
    rows = []
    for name, planted, seen in (
        ("misfiled images, as such or as a second record", misfiled, label),
        ("second records", doubled, records - set(mixed.values())),
        ("pixels filed again", set(drawn.again.tolist()), again),
    ):
        rows.append(Row("audit", f"{name}, planted", len(planted), "", conditions))
        rows.append(Row("audit", f"{name}, found", len(planted & seen), "", conditions))
        rows.append(Row("audit", f"{name}, found but not planted", len(seen - planted), "", conditions))
    return rows


def _peers(drawn: LargeArchive, part: int, threads: int) -> list[Row]:
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    vectors, filed = np.ascontiguousarray(drawn.embedding[:part]), drawn.filed[:part]
    floor = 0.75
    conditions = f"{part} images of {vectors.shape[1]} numbers, {threads} threads, cosine >= {floor}"
    ways: dict[str, Callable[[], set[tuple[int, int]]]] = {
        "PairScan": lambda: _scanned(vectors, filed, floor),
        "faiss IndexFlatIP.range_search": lambda: _by_faiss(vectors, filed, floor),
        "numpy product in blocks": lambda: _by_numpy(vectors, filed, floor),
    }
    measured = {name: _measured(way) for name, way in ways.items()}
    ours = measured["PairScan"]
    rows = [Row("audit", "pairs above the threshold", len(ours.pairs), "", conditions)]
    for name, one in measured.items():
        if one.pairs != ours.pairs:
            raise click.ClickException(f"{name} finds {len(one.pairs ^ ours.pairs)} other pairs than PairScan.")
        rows.append(Row("audit", f"all pairs by {name}, by the clock", one.wall, "s", conditions))
        rows.append(Row("audit", f"all pairs by {name}, processor time", one.processor, "s", conditions))
        if one is not ours:
            ratio = ours.processor / one.processor
            rows.append(Row("audit", f"PairScan / {name}, processor time", ratio, "", conditions))
    return rows


def _measured(way: Callable[[], set[tuple[int, int]]]) -> Measured:
    start, processor = time.perf_counter(), time.process_time()
    pairs = way()
    return Measured(time.perf_counter() - start, time.process_time() - processor, pairs)


def _scanned(vectors: NDArray[np.float32], filed: NDArray[np.int64], floor: float) -> set[tuple[int, int]]:
    scan = PairScan(vectors, filed, floor, "cpu")
    found = Pairs.joined([scan.block(number) for number in range(scan.blocks)])
    return set(zip(found.first.tolist(), found.second.tolist(), strict=True))


def _by_faiss(vectors: NDArray[np.float32], filed: NDArray[np.int64], floor: float) -> set[tuple[int, int]]:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    limits, _, second = index.range_search(vectors, floor)
    first = np.repeat(np.arange(len(vectors)), np.diff(limits.astype(np.int64)))
    return _once(first, second, filed)


def _by_numpy(vectors: NDArray[np.float32], filed: NDArray[np.int64], floor: float) -> set[tuple[int, int]]:
    found = set()
    for start in range(0, len(vectors), _BLOCK):
        first, second = np.nonzero(vectors[start : start + _BLOCK] @ vectors.T >= floor)
        found |= _once(first + start, second, filed)
    return found


def _once(first: NDArray[np.int64], second: NDArray[np.int64], filed: NDArray[np.int64]) -> set[tuple[int, int]]:
    wanted = (first < second) & (filed[first] != filed[second])
    return set(zip(first[wanted].tolist(), second[wanted].tolist(), strict=True))


if __name__ == "__main__":
    main()
