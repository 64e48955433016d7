"""P1's margin sweep: the same short run once for each margin, and the margin with the highest validation AUC."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from retrieval.errors import ConfigInvalid
from retrieval.losses.identity import MARGINS
from retrieval.training.config import TrainingConfig
from retrieval.training.curve import Validation, plot_sweep

_MOST = 50


@dataclass(frozen=True)
class MarginResult:
    """What the run with one margin reached on the validation patients; see `Validation`."""

    margin: float
    steps: int
    auc: float
    tpr_at_fpr_1e2: float
    precision_at_1: float

    @classmethod
    def of(cls, config: TrainingConfig, measured: Validation) -> MarginResult:
        """The result of a finished run from its last validation."""
        margin = config.losses.margin
        assert margin is not None
        return cls(margin, config.steps, measured.auc, measured.tpr_at_fpr_1e2, measured.precision_at_1)


def parse_margins(text: str) -> tuple[float, ...]:
    """The margins of a range `from:to:step`, both ends included, for example `0.1:1.0:0.1`.

    Raises:
        ConfigInvalid: another form, no positive step, or more than 50 margins.
    """
    number = r"(\d+(?:\.\d+)?)"
    found = re.fullmatch(f"{number}:{number}:{number}", text.strip())
    first, last, step = map(float, found.groups()) if found else (0.0, 0.0, 0.0)
    if not 0 < first <= last or step <= 0:
        raise ConfigInvalid(f"Margins are written from:to:step, as in 0.1:1.0:0.1, not {text!r}.")
    count = int((last - first) / step + 1e-6) + 1
    if count > _MOST:
        raise ConfigInvalid(f"{text} are {count} margins; at most {_MOST} can be tried in one sweep.")
    return tuple(round(first + step * number_, 6) for number_ in range(count))


def margin_run(config: TrainingConfig, margin: float, steps: int) -> TrainingConfig:
    """The short run that tries one margin: same start, seed and batches, validated at its end.

    Raises:
        ConfigInvalid: the loss has no margin, or not such a one.
    """
    if config.losses.identity not in MARGINS:
        names = ", ".join(sorted(MARGINS))
        raise ConfigInvalid(f"The loss {config.losses.identity} has no margin to sweep; those that have are {names}.")
    return replace(
        config,
        losses=replace(config.losses, margin=margin),
        steps=steps,
        warmup=min(config.warmup, steps // 10),
        rounds=min(config.rounds, steps - 1),
        validate_every=steps,
    )


def best_margin(results: Sequence[MarginResult]) -> MarginResult:
    """The result with the highest AUC; of equals the one with the smallest margin."""
    return max(results, key=lambda result: (result.auc, -result.margin))


def write_sweep(folder: Path, results: Sequence[MarginResult]) -> None:
    """Write `sweep.csv` and `sweep.png`, AUC against margin."""
    partial = folder / "sweep.partial"
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([f.name for f in fields(MarginResult)])
        writer.writerows(asdict(result).values() for result in results)
    partial.replace(folder / "sweep.csv")
    plot_sweep(folder / "sweep.png", [r.margin for r in results], [r.auc for r in results])
