"""By how much this product's own encoder is ahead of the best published method, and where it is not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from retrieval.bench.columns import IDENTITY, SPAN
from retrieval.bench.results import Line, Results

OURS = "ours"


@dataclass(frozen=True)
class Lead:
    """One identity column on one cohort.

    Attributes:
        dataset, heading: cohort and column. mine: the better of this product's figures. best: of the others'.
        name: whose the others' best is.
    """

    dataset: str
    heading: str
    mine: float
    best: float
    name: str

    @property
    def ahead(self) -> float:
        """Difference; above 0 if this product is first."""
        return self.mine - self.best


def leads(results: Results) -> list[Lead]:
    """Every cohort and identity column that both sides have a figure in; empty without this product or without others.

    This product's part is taken by its encoder and its calibrated comparison, whichever is better.
    """
    found = []
    for dataset in results.datasets:
        lines = results.of(dataset)
        ours = [line for line in lines if line.word("group") == OURS]
        others = [line for line in lines if line.word("group") != OURS]
        for column in IDENTITY:
            mine, best = _best(ours, column.field), _best(others, column.field)
            if mine is not None and best is not None:
                values = mine.figure(column.field), best.figure(column.field)
                found.append(Lead(dataset, column.heading.removesuffix(SPAN), *values, best.word("name")))
    return found


def _best(lines: list[Line], field: str) -> Line | None:
    measured = [line for line in lines if not math.isnan(line.figure(field))]
    return max(measured, key=lambda line: line.figure(field), default=None)
