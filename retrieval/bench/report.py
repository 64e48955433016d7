"""All methods side by side: on the terminal, and as a folder with CSV files, a picture and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from retrieval.bench.columns import IDENTITY, LEFT, cells
from retrieval.bench.details import details
from retrieval.bench.hashing.heat_maps import HeatMaps, draw_heat_maps
from retrieval.bench.measure import Measured
from retrieval.bench.page import page
from retrieval.bench.picture import draw_comparison
from retrieval.bench.results import Origin, Results, put_beside, read_results, write_results

PICTURE, PAGE, DETAILS = "comparison.png", "comparison.md", "tables.md"
HEAT_MAPS = "heat-maps"
"""Folder of the attention of hash networks, and name of the picture of it."""


def show(results: Results, console: Console) -> None:
    """Print the identity figures of each cohort."""
    for dataset in results.datasets:
        printed = Table(title=f"{dataset}: all methods on the same pairs", box=None)
        for heading in LEFT:
            printed.add_column(heading)
        for column in IDENTITY:
            printed.add_column(column.heading, justify="right")
        for line in results.of(dataset):
            printed.add_row(*cells(line, IDENTITY))
        console.print(printed)


def write(
    found: Sequence[Measured], groups: Mapping[str, str], origin: Origin, folder: Path, earlier: Path | None = None
) -> Results:
    """Write `comparison.csv`, `tables.csv`, `comparison.png`, `comparison.md` and `tables.md`; return what they say.

    Where the attention of hash networks was kept, `heat-maps.png` shows it.

    Args:
        found: at least one. groups: of each method's key, in the same order. folder: made if absent.
        earlier: folder of an earlier comparison, whose other methods stand beside these.

    Raises:
        ResultsInvalid: the earlier comparison is of other images.
    """
    write_results(found, groups, origin, folder)
    if earlier is not None:
        put_beside(folder, earlier)
    results = read_results(folder)
    draw_comparison(results, folder / PICTURE)
    maps = [HeatMaps.read(path) for key in groups if (path := folder / HEAT_MAPS / f"{key}.npz").is_file()]
    looked = draw_heat_maps(maps, folder / f"{HEAT_MAPS}.png").name if maps else ""
    (folder / PAGE).write_text(page(results, PICTURE, DETAILS), encoding="utf-8")
    (folder / DETAILS).write_text(details(results, PAGE, looked), encoding="utf-8")
    return results
