"""Everything one evaluation found, on the terminal, as CSV and as JSON, with machine and versions."""

from __future__ import annotations

import csv
import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torchvision
from rich.console import Console
from rich.table import Table

from retrieval.evaluation.findings_figures import FindingsFigures
from retrieval.evaluation.listed_pairs import PairFigures
from retrieval.evaluation.protocol import Figures
from retrieval.evaluation.shortcuts import ShortcutFigures


@dataclass(frozen=True)
class GateFigures:
    """How the gate judged the images of a dataset: how many, and the share it let through."""

    dataset: str
    images: int
    suitable: float


@dataclass(frozen=True)
class CalibrationFigures:
    """How far the calibrated probability is off on a dataset's patients, at even odds."""

    dataset: str
    pairs: int
    expected_calibration_error: float
    brier: float


@dataclass(frozen=True)
class Report:
    """Everything one evaluation found about one weight file; no file names, no patients."""

    model_id: str
    weights: str
    split: str
    figures: tuple[Figures, ...]
    findings: tuple[FindingsFigures, ...] = ()
    pairs: tuple[PairFigures, ...] = ()
    shortcuts: tuple[ShortcutFigures, ...] = ()
    gate: tuple[GateFigures, ...] = ()
    calibration: tuple[CalibrationFigures, ...] = ()


def show(report: Report, console: Console) -> None:
    """Print the headline table; the rest is in the files."""
    table = Table(title=f"Recognition, {report.split} patients, {report.weights} ({report.model_id})", box=None)
    for name in ("dataset", "method"):
        table.add_column(name)
    for name in ("AUC (95 %)", "TPR@1e-2", "P@1", "hit@5", "hit@30", "mAP@R", "swaps 1 %", "swaps 5 %"):
        table.add_column(name, justify="right")
    for f in report.figures:
        shares = (
            f.tpr_at_fpr_1e2,
            f.precision_at_1,
            f.hit_at_5,
            f.hit_at_30,
            f.map_at_r,
            f.swaps_at_fa_1,
            f.swaps_at_fa_5,
        )
        table.add_row(f.dataset, f.method, spanned(f.auc, f.auc_low, f.auc_high), *(share(value) for value in shares))
    console.print(table)


def share(value: float) -> str:
    """A rate with three decimals; a dash where it is not measurable."""
    return "–" if math.isnan(value) else f"{value:.3f}"


def spanned(value: float, low: float, high: float) -> str:
    """A rate with its interval."""
    return share(value) if math.isnan(value) or math.isnan(low) else f"{value:.3f} ({low:.3f}–{high:.3f})"


def write(report: Report, folder: Path) -> None:
    """Write `recognition.csv` (one row a dataset and method) and `recognition.json` (everything) into `folder`.

    With a test for shortcuts, `recognition-shortcuts.csv` too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    origin = origin_of(report)
    write_table(folder / "recognition.csv", report.figures, origin)
    if report.shortcuts:
        write_table(folder / "recognition-shortcuts.csv", report.shortcuts, origin)
    full = {"origin": origin, **_without_nan(asdict(report))}
    text = json.dumps(full, indent=2, allow_nan=False)
    (folder / "recognition.json").write_text(text + "\n", encoding="utf-8")


def write_table(path: Path, rows: Sequence[Any], origin: dict[str, str]) -> None:
    """Write at least one figures object of one class as CSV: its fields, then the origin, in each row."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*(field.name for field in fields(rows[0])), *origin])
        for row in rows:
            writer.writerow([*(_rounded(value) for value in asdict(row).values()), *origin.values()])


def origin_of(report: Report) -> dict[str, str]:
    """What was measured, when, and on what."""
    return {
        "model_id": report.model_id,
        "split": report.split,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4f}"
    return value


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN: null says that a figure could not be measured."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
