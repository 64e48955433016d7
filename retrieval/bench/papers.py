"""Tables in the layout of a paper, of figures that the common table holds already."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.bench.columns import IDENTITY, SPAN, Column
from retrieval.bench.extras import Extra
from retrieval.bench.results import Line
from retrieval.evaluation.protocol import LENGTHS

_HITS = tuple(column for column in IDENTITY if column.field.startswith("hit_at_"))
_P1 = "contrastive Siamese, "
_GATED = "-gated"


def negatives_table(lines: Sequence[Line]) -> Extra | None:
    """P1's table 1: share of images with their partner among the nearest, by how negatives were drawn; None without."""
    chosen = [line for line in lines if line.word("source") == "P1" and ("round" in line.word("key") or _best(line))]
    rows = tuple((_word(line), *(column.cell(line) for column in _HITS)) for line in chosen)
    heading = ("backbone, negatives", *(str(length) for length in LENGTHS))
    return Extra("P1, table 1: partner among the nearest", heading, rows) if rows else None


def margin_table(lines: Sequence[Line]) -> Extra | None:
    """P1's choice of the margin by AUC; None without such lines."""
    chosen = [line for line in lines if line.word("source") == "P1" and "round" not in line.word("key")]
    columns = (Column(f"AUC{SPAN}", "auc", spanned=True), Column("P@1", "precision_at_1"))
    rows = tuple((_word(line), *(column.cell(line) for column in columns)) for line in chosen)
    heading = ("backbone, margin", *(column.heading for column in columns))
    return Extra("P1, margins", heading, rows) if rows else None


def siamese_table(lines: Sequence[Line]) -> Extra | None:
    """P3's tables 9 and 10: right decisions and pairs a second, without and with the gate; None without such lines."""
    by_key = {line.word("key"): line for line in lines}
    right = Column("right", "decision_midpoint_accuracy")
    rows = [
        (line.word("name"), right.cell(line), _pairs(line), right.cell(gated), _pairs(gated))
        for key, line in by_key.items()
        if (gated := by_key.get(key + _GATED)) is not None
    ]
    heading = ("network", "right decisions", "pairs a second", "right, gated", "pairs a second, gated")
    return Extra("P3, tables 9 and 10: decisions without and with the gate", heading, tuple(rows)) if rows else None


def _best(line: Line) -> bool:
    return line.word("key").endswith("-m0.5")


def _word(line: Line) -> str:
    return line.word("name").removeprefix(_P1)


def _pairs(line: Line) -> str:
    """As P3 counts: both images of a pair are represented anew."""
    seconds = 2e-3 * line.figure("ms_per_image") + 1e-6 * line.figure("us_per_comparison")
    return f"{1 / seconds:,.1f}" if seconds > 0 else "–"
