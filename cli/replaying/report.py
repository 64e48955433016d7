"""What a replay leaves in its folder: the report with its tables and picture, the figures as CSV, every image."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table as Printed

from cli.replaying.figures import (
    BUDGETS,
    GROUPS,
    MEASURED,
    SWAPS,
    Group,
    Pooled,
    as_shown,
    figures,
    galleries,
    pooled,
)
from cli.replaying.figures import set_aside as count_set_aside
from cli.replaying.figures import unsettled as count_unsettled
from cli.replaying.outcome import RoundOutcome
from cli.replaying.plan import planned
from cli.replaying.run import Task, options_for
from cli.replaying.tables import SIMULATION, read_csv, tables, write_csv
from retrieval.evaluation.alert_budget import found, listed
from retrieval.evaluation.markdown import table as markdown_table

POINTS = np.geomspace(0.5, 100.0, 60)


def write_all(task: Task, rounds: Sequence[RoundOutcome], rows: dict[Path, int]) -> Path:
    """Write `report.md`, `replay.csv`, `replay.png` and `images.csv`; return the first.

    Args:
        rows: of each image its row in the manifest.
    """
    lines = figures(rounds)
    write_csv(lines, task.output / "replay.csv")
    _write_images(task, rounds, rows, task.output / "images.csv")
    _draw(rounds, task.output / "replay.png")
    parts = ["# Replay", *facts(task, rounds), markdown(task.output / "replay.csv")]
    parts += ["![Errors found and precision, by the length of the alert list](replay.png)", *_limits()]
    path = task.output / "report.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def markdown(figures_csv: Path) -> str:
    """The tables of a `replay.csv`, each below a heading.

    Raises:
        InputNotUsable: it is no such file.
    """
    parts = []
    for table in tables(read_csv(figures_csv)):
        parts += [f"## {table.title}", markdown_table(table.heading, table.rows, table.words)]
    return "\n\n".join(parts)


def show(task: Task, rounds: Sequence[RoundOutcome], out: Console) -> None:
    """Print the facts and the tables."""
    for sentence in facts(task, rounds):
        out.print(sentence, markup=False, soft_wrap=True)
    for table in tables(figures(rounds)):
        printed = Printed(title=table.title, title_justify="left")
        for number, heading in enumerate(table.heading):
            printed.add_column(heading, justify="left" if number < table.words else "right")
        for row in table.rows:
            printed.add_row(*row)
        out.print(printed)


def facts(task: Task, rounds: Sequence[RoundOutcome]) -> Iterator[str]:
    """What was replayed and how, in sentences."""
    images = sum(len(one.images) for one in rounds)
    way = (
        "sent by C-STORE to a whole system"
        if task.over_network
        else "through intake, encoder and match in one process, without network and queue"
    )
    yield (
        f"{len(task.sources)} images, {len(rounds)} rounds with errors of their own, {images} studies "
        f"{way}; seed {task.seed}, weights {task.weights}."
    )
    told = [
        line
        for line in options_for(
            planned(task.sources, task.shares, task.seed, 0), task.weights, task.budget
        ).splitlines()
        if "=" in line
    ]
    yield f"Options of the system, for the first round: {', '.join(told)}."
    kept = as_shown(rounds)
    yield (
        f"{count_set_aside(rounds)} images set aside as no frontal chest images or with too little in them; "
        f"{count_unsettled(rounds)} given up. The system's own budget of {task.budget:g} alerts per 1,000 studies left "
        f"{kept.raised_per_1000:.1f} per 1,000 on its list, {kept.precision:.0%} of them right. An alert that "
        f"a person has two records counts {rounds[0].records.weight:g} times as much as one that a label is wrong; "
        f"at most {rounds[0].records.share:.0%} of a list, rounded up to whole alerts, are of this kind."
    )


def _limits() -> Iterator[str]:
    yield "## How to read this"
    yield "\n".join(
        f"- {sentence}"
        for sentence in (
            "An alert counts as right if it says what was planted about the image or the two records, or that image "
            "and priors differ where it is the priors that are misfiled; every other alert on the list counts as "
            "false, also one that leads to a misfiled image by another way.",
            "A swap is missed, too, if the image was set aside by the gate.",
            "Intervals are Wilson's for 95 %; rounds share their images, so the truth is somewhat wider.",
            "Errors are far more frequent here than in a hospital, and the system was told how frequent: precision "
            "falls in proportion to the base rate.",
            f"Rows marked {SIMULATION} are no measurement: each image was judged again among so many strangers, whose "
            "scores were drawn from those of different persons of the same dataset, view and age group in the stream; "
            "the tail is extrapolated beyond the most alike pair.",
        )
    )


def _draw(rounds: Sequence[RoundOutcome], path: Path) -> None:
    # Here, not above: matplotlib takes a second to import.
    from retrieval.evaluation.plots.budgets import Panel, draw_budgets

    budgets = POINTS.tolist()
    lists = {_name(size): pooled(rounds, size) for size in galleries(rounds)}
    measured = pooled(rounds, MEASURED)
    shown = [
        Panel(
            "Errors found, measured",
            "share of the errors planted",
            {group.title: _shares(measured, group, budgets) for group in GROUPS},
        ),
        Panel(
            "Swaps among patients with priors",
            "share found",
            {name: _shares(one, SWAPS, budgets) for name, one in lists.items()},
        ),
        Panel(
            "Precision of the list",
            "share of alerts",
            {name: [listed(one.alerts, budget).precision for budget in budgets] for name, one in lists.items()},
        ),
    ]
    draw_budgets(shown, budgets, BUDGETS, path)


def _shares(streams: Pooled, group: Group, budgets: Sequence[float]) -> list[float]:
    errors = streams.errors(group)
    return [found(streams.alerts, errors, budget).share for budget in budgets]


def _name(gallery: int) -> str:
    return "measured" if gallery == MEASURED else f"{gallery:,} persons, {SIMULATION}"


def _write_images(task: Task, rounds: Sequence[RoundOutcome], rows: dict[Path, int], path: Path) -> None:
    heading = ("round", "place", "row", "planted", "state", "verdict", "probability", "alert", "rank")
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(heading)
        for number, one in enumerate(rounds):
            plan = planned(task.sources, task.shares, task.seed, number)
            in_order = enumerate(sorted(one.alerts, key=lambda alert: -alert.expected(one.records)), 1)
            reported = {alert.error: (alert.kind, rank) for rank, alert in reversed(list(in_order))}
            for shot, image in zip(plan.delivery.shots, one.images, strict=True):
                sure = "" if image.probability is None else f"{image.probability:.6f}"
                alert, rank = reported.get(shot.number, ("", ""))
                row = rows[shot.film.content.path]
                planted = image.planted or ""
                writer.writerow(
                    (number + 1, shot.number + 1, row, planted, image.state, image.verdict, sure, alert, rank)
                )
