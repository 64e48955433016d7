"""Show the figures of an evaluation and write them, with the machine and versions they come from."""

from __future__ import annotations

import csv
import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
import torchvision
from rich.console import Console
from rich.table import Table

from retrieval.evaluation.protocol import Figures


@dataclass(frozen=True)
class GateFigures:
    """How the gate judged the images of a dataset: how many, and the share it let through."""

    dataset: str
    images: int
    suitable: float


@dataclass(frozen=True)
class CalibrationFigures:
    """How far the calibrated probability is off on a dataset's test patients, at even odds."""

    dataset: str
    pairs: int
    expected_calibration_error: float
    brier: float


@dataclass(frozen=True)
class Report:
    """Everything one evaluation found about one weight file."""

    model_id: str
    split: str
    figures: tuple[Figures, ...]
    gate: tuple[GateFigures, ...]
    calibration: tuple[CalibrationFigures, ...]


def show(report: Report, console: Console) -> None:
    """Print the three tables."""
    table = Table(title=f"Recognition, {report.split} patients, model {report.model_id}")
    columns = (
        "dataset",
        "method",
        "AUC (95 %)",
        "TPR@1e-2",
        "P@1",
        "hit@5",
        "hit@30",
        "mAP@R",
        "swaps 1 %",
        "swaps 5 %",
    )
    for name in columns:
        table.add_column(name, justify="left" if name in ("dataset", "method") else "right")
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
        auc = f"{f.auc:.3f} ({f.auc_low:.3f}-{f.auc_high:.3f})"
        table.add_row(f.dataset, f.method, auc, *(f"{share:.3f}" for share in shares))
    console.print(table)
    gate = Table("dataset", "images", "let through", title="Gate")
    for g in report.gate:
        gate.add_row(g.dataset, str(g.images), f"{g.suitable:.3f}")
    console.print(gate)
    calibration = Table("dataset", "pairs", "ECE", "Brier", title="Calibration, at even odds")
    for c in report.calibration:
        calibration.add_row(c.dataset, str(c.pairs), f"{c.expected_calibration_error:.3f}", f"{c.brier:.3f}")
    console.print(calibration)


def write(report: Report, folder: Path) -> None:
    """Write `recognition.csv` (one row a dataset and method) and `recognition.json` (everything) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    origin = _origin(report)
    with (folder / "recognition.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*Figures.__dataclass_fields__, *origin])
        for figures in report.figures:
            writer.writerow([*(_rounded(value) for value in asdict(figures).values()), *origin.values()])
    full = {"origin": origin, **asdict(report)}
    (folder / "recognition.json").write_text(json.dumps(full, indent=2) + "\n", encoding="utf-8")


def _origin(report: Report) -> dict[str, str]:
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
    return f"{value:.4f}" if isinstance(value, float) else value
