"""All methods side by side: on the terminal, as CSV, as a picture and as a page."""

from __future__ import annotations

import csv
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from retrieval.bench.measure import Measured
from retrieval.bench.picture import draw_comparison
from retrieval.evaluation.findings_figures import FindingsFigures
from retrieval.evaluation.markdown import table
from retrieval.evaluation.protocol import Figures
from retrieval.evaluation.report import share, spanned

# Figures of the tables: heading, field.
COLUMNS = (
    ("TPR@1e-2", "tpr_at_fpr_1e2"),
    ("P@1", "precision_at_1"),
    ("hit@5", "hit_at_5"),
    ("hit@10", "hit_at_10"),
    ("hit@30", "hit_at_30"),
    ("mAP@R", "map_at_r"),
    ("swaps 1 %", "swaps_at_fa_1"),
    ("swaps 5 %", "swaps_at_fa_5"),
)
# Of the search by findings: heading, field.
FINDINGS = (("findings mAP", "mean_average_precision"), ("nDCG@100", "ndcg_at_100"))
_COSTS = ("ms an image", "µs a comparison", "bytes an image", "MiB")


def show(found: Sequence[Measured], console: Console) -> None:
    """Print a table for each cohort."""
    for dataset in datasets(found):
        printed = Table(title=f"{dataset}: all methods on the same pairs", box=None)
        for heading in ("method", "source", "learned from"):
            printed.add_column(heading)
        for heading in ("AUC (95 %)", *(heading for heading, _ in (*COLUMNS, *FINDINGS)), *_COSTS):
            printed.add_column(heading, justify="right")
        for row in _rows(found, dataset):
            printed.add_row(*row)
        console.print(printed)


def write(found: Sequence[Measured], folder: Path) -> Path:
    """Write `comparison.csv`, `comparison.png` and `comparison.md` into `folder`; return the last."""
    _write_csv(found, folder / "comparison.csv")
    draw_comparison(found, folder / "comparison.png")
    parts = ["# Methods side by side", _origin(), "![AUC and P@1 of each method](comparison.png)"]
    for dataset in datasets(found):
        heading = (
            "method",
            "source",
            "learned from",
            "AUC (95 %)",
            *(name for name, _ in (*COLUMNS, *FINDINGS)),
            *_COSTS,
        )
        first = figures_of(found[0], dataset)
        parts += [
            f"## {dataset}: {first.images} images of {first.patients} patients",
            table(heading, _rows(found, dataset), words=3),
            *_lead(found, dataset),
            *_chance(found[0], dataset),
        ]
    for one in found:
        for extra in one.extras:
            parts += [f"### {extra.title}", table(extra.heading, extra.rows, words=1)]
    parts += [_LIMITS]
    path = folder / "comparison.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def datasets(found: Sequence[Measured]) -> list[str]:
    """Cohorts that were measured, in order."""
    return [figures.dataset for figures in found[0].figures] if found else []


def figures_of(measured: Measured, dataset: str) -> Figures:
    """A method's figures on a cohort."""
    return next(figures for figures in measured.figures if figures.dataset == dataset)


def findings_of(measured: Measured, dataset: str) -> tuple[FindingsFigures, FindingsFigures] | None:
    """A method's figures of the search by findings on a cohort, and those of chance; None if too few are known."""
    mine, chance = ({one.dataset: one for one in part} for part in (measured.findings, measured.chance))
    return (mine[dataset], chance[dataset]) if dataset in mine else None


def _chance(measured: Measured, dataset: str) -> list[str]:
    known = findings_of(measured, dataset)
    if known is None:
        return ["Search by findings: fewer than two findings are known here, so any image would be a right one."]
    chance = known[1]
    values = ", ".join(f"{heading} {getattr(chance, field):.3f}" for heading, field in FINDINGS)
    return [
        f"Search by findings: {chance.queries} queries, {chance.findings} findings, images of the same patient left "
        f"out; chance is {values}."
    ]


def _rows(found: Sequence[Measured], dataset: str) -> list[list[str]]:
    rows = []
    for one in found:
        f, costs = figures_of(one, dataset), one.costs
        known = findings_of(one, dataset)
        rows.append(
            [
                one.about.name,
                one.about.source,
                one.about.learned,
                spanned(f.auc, f.auc_low, f.auc_high),
                *(share(getattr(f, field)) for _, field in COLUMNS),
                *("–" if known is None else share(getattr(known[0], field)) for _, field in FINDINGS),
                f"{costs.ms_per_image:.1f}",
                f"{costs.us_per_comparison:.2f}",
                f"{costs.bytes_per_image:.0f}",
                f"{costs.memory_mib:.0f}",
            ]
        )
    return rows


def _lead(found: Sequence[Measured], dataset: str) -> list[str]:
    """By how much the product's encoder leads or trails the best published method, column by column."""
    ours = [one for one in found if one.about.source == "this product"]
    others = [one for one in found if one.about.source != "this product"]
    if not ours or not others:
        return []
    said = []
    for heading, field in (("AUC", "auc"), *COLUMNS):
        best = max(others, key=lambda one: _value(one, dataset, field))
        mine = max(_value(one, dataset, field) for one in ours)
        gap = mine - _value(best, dataset, field)
        if math.isfinite(gap):
            said.append(f"{heading} {'+' if gap >= 0 else '−'}{abs(gap):.3f} ({best.about.name})")
    return ["Lungprint against the best of the others: " + "; ".join(said) + "."]


def _value(measured: Measured, dataset: str, field: str) -> float:
    value = float(getattr(figures_of(measured, dataset), field))
    return value if math.isfinite(value) else -math.inf


def _origin() -> str:
    return (
        f"Made on {datetime.now(UTC).date().isoformat()} with `lungprint bench`, {platform.machine()}, "
        f"{os.cpu_count()} cores, torch {torch.__version__}. Every figure is defined in docs/recognition.md. Brackets: "
        "95 % interval when patients are drawn again. A dash: not measurable on so few pairs."
    )


def _write_csv(found: Sequence[Measured], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        heading: list[str] | None = None
        for one in found:
            for figures in one.figures:
                values = {**asdict(one.about), **asdict(one.costs), **asdict(figures), **_findings_cells(one, figures)}
                if heading is None:
                    heading = list(values)
                    writer.writerow(heading)
                writer.writerow([_cell(values[key]) for key in heading])


def _findings_cells(measured: Measured, figures: Figures) -> dict[str, object]:
    """Columns of the search by findings; empty where too few are known."""
    known = findings_of(measured, figures.dataset)
    cells: dict[str, object] = {}
    for field in ("mean_average_precision", "map_low", "map_high", "ndcg_at_100"):
        cells[f"findings_{field}"] = "" if known is None else getattr(known[0], field)
    for _, field in FINDINGS:
        cells[f"chance_{field}"] = "" if known is None else getattr(known[1], field)
    return cells


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4f}"
    return value


_LIMITS = """## What this does not show

- The methods are measured on the images named here, not on those of their papers; a method made for another task
  (photographs of goods, findings) is not refuted by failing at this one.
- Few patients: where intervals overlap, the order may be chance.
- Methods that learned nothing from chests stand beside one that learned from patients of the same public data sets; the
  patients are others, the scanners and the selection are the same.
- Times are those of one process on the machine named above, with whatever else it was doing."""
