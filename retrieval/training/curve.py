"""Learning curves: the costs of every step and the figures of every validation, as CSV and as one picture."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

MEAN = "mean"

Row = TypeVar("Row", "Costs", "Validation")


@dataclass(frozen=True)
class Costs:
    """One step: the whole loss, its parts before weighting (0 for a part that is not used), the rate, the seconds."""

    step: int
    total: float
    identity: float
    joint: float
    code: float
    rate: float
    seconds: float


@dataclass(frozen=True)
class Validation:
    """Figures of one dataset's validation patients after a step, in [0, 1]; the dataset `mean` is the mean of all.

    auc: every patient one vote. tpr_at_fpr_1e2: true positive rate at 1 % false positives, NaN if too few pairs.
    precision_at_1: share of images whose nearest one is of the same patient.
    """

    step: int
    dataset: str
    images: int
    patients: int
    auc: float
    tpr_at_fpr_1e2: float
    precision_at_1: float


class LearningCurve:
    """What a run has recorded so far, in `curve.csv`, `validation.csv` and `curve.png`.

    Args:
        folder: of the run.
        step: at which the run goes on; what was recorded after it will be recorded again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self.costs = _read(folder / "curve.csv", Costs, step)
        self.validations = _read(folder / "validation.csv", Validation, step)

    @property
    def best_auc(self) -> float:
        """The highest mean AUC so far; -1 before the first validation."""
        return max((row.auc for row in self.means()), default=-1.0)

    def means(self) -> list[Validation]:
        """The mean figures of each validation, in order."""
        return [row for row in self.validations if row.dataset == MEAN]

    def write(self) -> None:
        """Write both tables and the picture; a crash leaves each as it was."""
        _write(self._folder / "curve.csv", Costs, self.costs)
        if self.validations:
            _write(self._folder / "validation.csv", Validation, self.validations)
        partial = self._folder / "curve.partial.png"
        self._picture().savefig(partial)
        partial.replace(self._folder / "curve.png")

    def _picture(self) -> Figure:
        figure = Figure(figsize=(9, 9), layout="constrained")
        losses, rate, figures = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 2))
        steps = [row.step for row in self.costs]
        for name in ("total", "identity", "joint", "code"):
            values = [getattr(row, name) for row in self.costs]
            if any(values):
                losses.plot(steps, values, label=name, linewidth=0.8)
        _label(losses, "loss")
        rate.plot(steps, [row.rate for row in self.costs], linewidth=0.8)
        rate.set_ylabel("learning rate")
        means = self.means()
        for name, said in (("auc", "AUC"), ("tpr_at_fpr_1e2", "TPR at FPR 1 %"), ("precision_at_1", "P@1")):
            figures.plot([row.step for row in means], [getattr(row, name) for row in means], marker=".", label=said)
        _label(figures, "validation")
        figures.set_xlabel("step")
        return figure


def plot_sweep(path: Path, margins: Sequence[float], aucs: Sequence[float]) -> None:
    """Draw validation AUC against the margin into a PNG."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(margins, aucs, marker="o")
    axes.set_xlabel("margin")
    axes.set_ylabel("validation AUC")
    axes.grid(alpha=0.3)
    figure.savefig(path)


def _label(axes: Axes, name: str) -> None:
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    if axes.get_lines():
        axes.legend()


def _read(path: Path, kind: type[Row], step: int) -> list[Row]:
    if not path.exists():
        return []
    kinds = {"int": int, "float": float, "str": str}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [
            kind(**{f.name: kinds[str(f.type)](raw[f.name]) for f in fields(kind)}) for raw in csv.DictReader(stream)
        ]
    return [row for row in rows if row.step <= step]


def _write(path: Path, kind: type[Row], rows: Iterable[Row]) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([f.name for f in fields(kind)])
        # Every digit, so that what is read back when a run goes on is what was written.
        writer.writerows(asdict(row).values() for row in rows)
    partial.replace(path)
