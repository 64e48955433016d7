"""Similar cases in a gallery of 100,000 images: how long an answer takes, filtered and not, beside faiss.

Run it with `python -m benchmarks.similar`. Measured is what the worker does from question to answer, the archive asked
included. The scan of the codes alone is set beside faiss's `IndexBinaryFlat`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import faiss
import numpy as np
from rich.console import Console
from rich.table import Table

from archive.database import open_database
from benchmarks.large_archive import draw, filed, sizes
from benchmarks.record import Row, append_rows
from config.paths import data_dir
from config.settings import load_settings
from retrieval.codes import findings_half
from workers.index_owner import open_owner
from workers.similar import similar

QUESTIONS: dict[str, dict[str, Any]] = {
    "by findings": {},
    "by findings, tenth page": {"offset": 108},
    "by findings, women of 40 to 60 years": {"where": {"sex": "F", "age_from": 40, "age_to": 60}},
    "by findings, one day": {"where": {"since": "2015-06-01", "until": "2015-06-01"}},
    "by person": {"by": "person"},
    "by person, one day": {"by": "person", "where": {"since": "2015-06-01", "until": "2015-06-01"}},
}
SHOWN = 12


@click.command()
@click.option("--images", default=100_000, show_default=True, help="Images of the gallery.")
@click.option("--questions", default=20, show_default=True, help="Images asked about.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the archive, used again where it is.")
@click.option("--record/--no-record", default=True, show_default=True, help="Append to results/similar.csv.")
def main(images: int, questions: int, keep: Path | None, record: bool) -> None:
    """Ask for cases like some images in every way the dashboard offers."""
    drawn = draw(images, *sizes(), 0.001, 0)
    conditions = f"{images} images, {questions} questions, 12 cases, exact index"
    asked = np.random.default_rng(1).integers(1, images + 1, questions).tolist()
    rows = []
    with filed(drawn, keep) as root:
        folder = data_dir(root)
        settings = load_settings(root, environ={"LUNGPRINT_INDEX_KIND": "exact"})
        database = open_database(settings, folder)
        owner = open_owner(database, settings, folder)
        for name, options in QUESTIONS.items():
            times = [_seconds(lambda i=i, o=options: similar(owner, database, instance=i, k=SHOWN, **o)) for i in asked]
            rows.append(Row("similar", f"{name}, median", 1000 * statistics.median(times), "ms", conditions))
            rows.append(Row("similar", f"{name}, slowest", 1000 * max(times), "ms", conditions))
        codes = np.ascontiguousarray(findings_half(drawn.code))
        scan = [_seconds(lambda i=i: owner.rows.findings.distances(codes[i - 1], images)) for i in asked]
        owner.close()
        database.close()
    peer = faiss.IndexBinaryFlat(8 * codes.shape[1])
    peer.add(codes)
    faiss.omp_set_num_threads(1)
    theirs = [_seconds(lambda i=i: peer.search(codes[i - 1 : i], SHOWN)) for i in asked]
    rows.append(Row("similar", "scan of the codes, median", 1000 * statistics.median(scan), "ms", conditions))
    rows.append(Row("similar", "faiss IndexBinaryFlat, median", 1000 * statistics.median(theirs), "ms", conditions))
    ratio = statistics.median(scan) / statistics.median(theirs)
    rows.append(Row("similar", "scan / faiss IndexBinaryFlat", ratio, "", conditions))
    table = Table("measure", "value", "unit", "conditions", box=None)
    for row in rows:
        table.add_row(row.measure, f"{row.value:.4g}", row.unit, row.conditions)
    Console(width=140).print(table)
    if record:
        append_rows("similar", rows)


def _seconds(ask: Callable[[], object]) -> float:
    start = time.perf_counter()
    ask()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
