"""The columns of a comparison's tables: headings, fields, and how a figure is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retrieval.bench.results import Line
from retrieval.evaluation.protocol import LENGTHS
from retrieval.evaluation.report import share, spanned


@dataclass(frozen=True)
class Column:
    """A column: heading, field of `Line.figures`, and how its figure is written.

    Attributes:
        spanned: with the interval of the fields `<field>_low` and `<field>_high`.
    """

    heading: str
    field: str
    written: Callable[[float], str] = share
    spanned: bool = False

    def cell(self, line: Line) -> str:
        """The figure of a line as text; a dash where it could not be measured."""
        value = line.figure(self.field)
        if self.spanned:
            return spanned(value, line.figure(f"{self.field}_low"), line.figure(f"{self.field}_high"))
        return "–" if math.isnan(value) else self.written(value)


def _number(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:,.{digits}f}"


SPAN = " (95 %)"
"""Ends a heading of figures with intervals."""
LEFT = ("method", "source", "learned from")
"""What stands before the figures."""
IDENTITY = (
    Column(f"AUC{SPAN}", "auc", spanned=True),
    Column("TPR@1e-2", "tpr_at_fpr_1e2"),
    Column("P@1", "precision_at_1"),
    *(Column(f"hit@{length}", f"hit_at_{length}") for length in LENGTHS),
    Column("mAP@R", "map_at_r"),
    Column("swaps 1 %", "swaps_at_fa_1"),
    Column("swaps 5 %", "swaps_at_fa_5"),
)
COSTS = (
    Column("ms an image", "ms_per_image", _number(1)),
    Column("µs a comparison", "us_per_comparison", _number(2)),
    Column("MiB of memory", "memory_mib", _number(0)),
    Column("s to train or load", "training_s", _number(1)),
    Column("MiB to train or load", "training_mib", _number(0)),
    Column("bytes an image", "bytes_per_image", _number(0)),
)
FIELD = (
    Column(f"AUC{SPAN}", "field_auc", spanned=True),
    Column("TPR@1e-2", "field_tpr_at_fpr_1e2"),
    Column("EER", "field_eer"),
    Column("P@1", "field_precision_at_1"),
    Column("R-precision", "field_r_precision"),
    Column("mAP@R", "field_map_at_r"),
)
DECISION = (
    Column("mean, one person", "decision_same_mean", _number(3)),
    Column("mean, two", "decision_different_mean", _number(3)),
    Column("midway", "decision_midpoint", _number(3)),
    Column("right", "decision_midpoint_accuracy"),
    Column("best threshold", "decision_best", _number(3)),
    Column("right", "decision_best_accuracy"),
)
FINDINGS = (
    Column("findings mAP", "findings_mean_average_precision"),
    Column("chance", "chance_mean_average_precision"),
    Column("nDCG@100", "findings_ndcg_at_100"),
    Column("chance", "chance_ndcg_at_100"),
)


def cells(line: Line, columns: Sequence[Column]) -> list[str]:
    """A row: what stands before the figures, and these columns."""
    left = [line.word("name"), line.word("source"), line.word("learned")]
    return [*left, *(column.cell(line) for column in columns)]
