"""The figures of a comparison as two CSV files, from which tables, picture and page are made."""

from __future__ import annotations

import csv
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from retrieval.bench.extras import Extra
from retrieval.bench.measure import Measured
from retrieval.errors import ResultsInvalid

FIGURES, TABLES = "comparison.csv", "tables.csv"
_WORDS = (
    "group",
    "key",
    "name",
    "source",
    "learned",
    "dataset",
    "method",
    "profile",
    "effort",
    "split",
    "date",
    "machine",
    "torch",
    "compared",
)


@dataclass(frozen=True)
class Origin:
    """How and where figures were made: profile and split by name, what the profile means, day (ISO 8601), processor,
    version of torch, and what was compared as a text that changes with images, pairs and draws."""

    profile: str
    effort: str
    split: str
    date: str
    machine: str
    torch: str
    compared: str

    @classmethod
    def here(cls, profile: str, effort: str, split: str, compared: str) -> Origin:
        """Of this machine, today."""
        machine = f"{platform.machine()}, {os.cpu_count()} cores"
        if torch.cuda.is_available():
            machine += f", {torch.cuda.get_device_name()}"
        day = datetime.now(UTC).date().isoformat()
        return cls(profile, effort, split, day, machine, torch.__version__, compared)


@dataclass(frozen=True)
class Line:
    """One method on one cohort: words and figures by column; a figure that could not be measured is NaN."""

    words: Mapping[str, str]
    figures: Mapping[str, float]

    def word(self, column: str) -> str:
        """A word, for example the `name`."""
        return self.words[column]

    def figure(self, column: str) -> float:
        """A figure; NaN if there is none."""
        return self.figures.get(column, math.nan)


@dataclass(frozen=True)
class Results:
    """A whole comparison: lines by method, then cohort, in the order of measuring; tables of single papers; origin.

    Raises:
        ResultsInvalid: there is no line.
    """

    lines: tuple[Line, ...]
    tables: tuple[Extra, ...]
    origin: Origin

    def __post_init__(self) -> None:
        if not self.lines:
            raise ResultsInvalid("There are no figures of any method to report.")

    @property
    def datasets(self) -> list[str]:
        """Cohorts in order; the last is of all images."""
        return list(dict.fromkeys(line.word("dataset") for line in self.lines))

    def of(self, dataset: str) -> list[Line]:
        """A cohort's lines, one for each method."""
        return [line for line in self.lines if line.word("dataset") == dataset]


def write_results(found: Sequence[Measured], groups: Mapping[str, str], origin: Origin, folder: Path) -> None:
    """Write `comparison.csv`, a row for each method and cohort, and `tables.csv`, a row for each cell.

    Args:
        found: at least one. groups: of each method's key, `p1` to `p5` or `ours`. folder: made if absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        row for (key, group), one in zip(groups.items(), found, strict=True) for row in _rows(one, key, group, origin)
    ]
    heading = list(dict.fromkeys(column for row in rows for column in row))
    _write(folder / FIGURES, heading, ([_cell(row.get(column, math.nan)) for column in heading] for row in rows))
    cells = [
        (one.about.key, table.title, number, heading, cell)
        for one in found
        for table in one.extras
        for number, row in enumerate((table.heading, *table.rows))
        for heading, cell in zip(table.heading, row, strict=True)
    ]
    _write(folder / TABLES, ("key", "table", "row", "column", "cell"), cells)


def read_results(folder: Path) -> Results:
    """Read what `write_results` wrote.

    Raises:
        ResultsInvalid: a file is missing, or is of another kind.
    """
    try:
        with (folder / FIGURES).open(newline="", encoding="utf-8") as stream:
            lines = tuple(_line(row) for row in csv.DictReader(stream))
        with (folder / TABLES).open(newline="", encoding="utf-8") as stream:
            tables = _tables(csv.DictReader(stream))
        first = lines[0].words if lines else {}
        origin = Origin(*(first.get(name, "") for name in Origin.__dataclass_fields__))
    except (OSError, ValueError, KeyError) as error:
        raise ResultsInvalid(
            f"{folder} holds no figures of `lungprint bench` ({type(error).__name__}); name the folder that it wrote."
        ) from error
    return Results(lines, tables, origin)


def put_beside(folder: Path, earlier: Path) -> None:
    """Add to the figures in `folder` those of all other methods in the folder of an earlier comparison.

    Methods keep the order of the earlier comparison; those that it has not come last.

    Raises:
        ResultsInvalid: the earlier one is of other images, pairs or draws, or a folder holds no figures.
    """
    new, old = read_results(folder), read_results(earlier)
    if new.origin.compared != old.origin.compared:
        raise ResultsInvalid(
            f"The comparison in {earlier} is of other images, pairs or draws: its figures cannot stand beside these. "
            "Give the same --profile, --split, --dataset, --pairs and --rounds, or measure all methods anew."
        )
    mine = {line.word("key") for line in new.lines}
    for name in (FIGURES, TABLES):
        added, kept = _cells_of(folder / name), _cells_of(earlier / name)
        order = list(dict.fromkeys(row["key"] for row in (*kept, *added)))
        rows = [row for row in kept if row["key"] not in mine] + added
        rows.sort(key=lambda row: order.index(row["key"]))
        heading = list(dict.fromkeys(column for row in rows for column in row))
        _write(folder / name, heading, ([row.get(column, "") for column in heading] for row in rows))


def _cells_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _rows(one: Measured, key: str, group: str, origin: Origin) -> Iterable[dict[str, object]]:
    findings, chance, decisions = (
        {part.dataset: part for part in parts} for parts in (one.findings, one.chance, one.decisions)
    )
    for place, figures in enumerate(one.figures, start=1):
        name = figures.dataset
        # Of all images together, which the last cohort is.
        field = one.field if place == len(one.figures) else None
        yield {
            "group": group,
            **asdict(one.about),
            "key": key,
            **asdict(one.costs),
            **asdict(figures),
            **(_named("findings", asdict(findings[name])) if name in findings else {}),
            **(_named("chance", asdict(chance[name])) if name in chance else {}),
            **(_named("decision", asdict(decisions[name])) if name in decisions else {}),
            **({} if field is None else _named("field", {**asdict(field), **asdict(field.pairs)})),
            **asdict(origin),
        }


def _named(prefix: str, values: Mapping[str, Any]) -> dict[str, object]:
    left_out = ("dataset", "method", "pairs")
    return {f"{prefix}_{column}": value for column, value in values.items() if column not in left_out}


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def _write(path: Path, heading: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(heading)
        writer.writerows(rows)


def _line(row: Mapping[str, str]) -> Line:
    words = {column: row[column] for column in _WORDS}
    return Line(words, {column: float(cell) for column, cell in row.items() if column not in _WORDS and cell})


def _tables(cells: Iterable[Mapping[str, str]]) -> tuple[Extra, ...]:
    """Tables of cells that stand in order; the row 0 of each is its heading."""
    rows: dict[tuple[str, str], dict[int, list[str]]] = {}
    for cell in cells:
        rows.setdefault((cell["key"], cell["table"]), {}).setdefault(int(cell["row"]), []).append(cell["cell"])
    return tuple(
        Extra(title, tuple(table[0]), tuple(tuple(row) for number, row in table.items() if number))
        for (_, title), table in rows.items()
    )
