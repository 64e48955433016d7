"""The tables of a replay, from the lines of its CSV: what was found, what it cost, and both in larger galleries."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cli.outcome import InputNotUsable
from cli.replaying.figures import EVERYTHING, GROUPS, MEASURED, NEW_SWAPS, RECORDS, SWAPS, Figure, Group

SIMULATION = "simulation"


@dataclass(frozen=True)
class Table:
    """A table for people: cells as text, the first `words` columns aligned left."""

    title: str
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


def tables(figures: Sequence[Figure]) -> Iterator[Table]:
    """All tables of a replay."""
    budgets = sorted({figure.budget for figure in figures})
    columns = [f"{budget:g} per 1,000" for budget in budgets]
    measured = [figure for figure in figures if figure.gallery == MEASURED]
    yield Table(
        "Planted errors found, at an alert budget of",
        ("error", "planted", *columns),
        tuple(_found(measured, group.title, budgets) for group in GROUPS),
    )
    yield Table(
        "False alerts per 1,000 studies (of these, alerts about a patient with a misfiled image) and precision",
        ("alerts that say", *columns),
        tuple(_cost(measured, group, budgets) for group in GROUPS if group.says),
    )
    galleries = sorted({figure.gallery for figure in figures} - {MEASURED})
    if galleries:
        yield Table(
            f"In larger galleries ({SIMULATION}: scores of strangers drawn from those measured)",
            ("gallery, budget", SWAPS.title, NEW_SWAPS.title, RECORDS.title, "false per 1,000", "precision"),
            tuple(_larger(figures, size, budget) for size in (MEASURED, *galleries) for budget in budgets),
        )


def write_csv(figures: Sequence[Figure], path: Path) -> None:
    """Write one line for each figure; a share that is not measurable is empty."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("origin", *(field.name for field in fields(Figure))))
        for figure in figures:
            origin = "measured" if figure.gallery == MEASURED else SIMULATION
            writer.writerow((origin, *(_cell(value) for value in asdict(figure).values())))


def read_csv(path: Path) -> list[Figure]:
    """Read what `write_csv` wrote.

    Raises:
        InputNotUsable: it is no such file.
    """
    kinds: dict[str, Callable[[str], Any]] = {
        field.name: {"int": int, "str": str}.get(str(field.type), _number) for field in fields(Figure)
    }
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return [Figure(**{name: kinds[name](row[name]) for name in kinds}) for row in csv.DictReader(stream)]
    except (OSError, KeyError, ValueError) as error:
        raise InputNotUsable(f"{path} is no CSV of `lungprint replay`: {error}.") from error


def _found(figures: Sequence[Figure], kind: str, budgets: Sequence[float]) -> tuple[str, ...]:
    lines = {figure.budget: figure for figure in figures if figure.kind == kind}
    shares = [_share(lines[budget]) for budget in budgets]
    return kind, str(lines[budgets[0]].planted), *shares


def _cost(figures: Sequence[Figure], group: Group, budgets: Sequence[float]) -> tuple[str, ...]:
    lines = {figure.budget: figure for figure in figures if figure.kind == group.title}
    return group.says, *(
        f"{lines[b].false_per_1000:.1f} ({lines[b].near_per_1000:.1f}), {_percent(lines[b].precision)}" for b in budgets
    )


def _larger(figures: Sequence[Figure], gallery: int, budget: float) -> tuple[str, ...]:
    lines = {f.kind: f for f in figures if f.gallery == gallery and f.budget == budget}
    size = "as measured" if gallery == MEASURED else f"{gallery:,} ({SIMULATION})"
    whole = lines[EVERYTHING.title]
    return (
        f"{size}, {budget:g} per 1,000",
        *(_percent(lines[group.title].share) for group in (SWAPS, NEW_SWAPS, RECORDS)),
        f"{whole.false_per_1000:.1f}",
        _percent(whole.precision),
    )


def _share(figure: Figure) -> str:
    if not figure.planted:
        return "–"
    return f"{figure.found} = {_percent(figure.share)} ({figure.low:.0%}–{figure.high:.0%})"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _number(text: str) -> float:
    return float(text) if text else float("nan")
