"""A contact sheet of the worst errors: same persons that look different, different persons that look the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from retrieval.evaluation.cohort import TOGETHER, Cohort
from retrieval.evaluation.pairs import Pairs
from retrieval.evaluation.plots.style import COLOURS, save, show_image

EACH = 3


@dataclass(frozen=True)
class WorstPair:
    """A pair that is scored wrongly: its number on the sheet, and positions of its images in the evaluation."""

    number: int
    dataset: str
    same: bool
    cosine: float
    first: int
    second: int


def worst_pairs(cohorts: Sequence[Cohort], pairs: dict[str, Pairs], each: int = EACH) -> list[WorstPair]:
    """Of each dataset the lowest-scored pairs of one person and the highest-scored of two, no patient twice in a kind.

    Args:
        cohorts: of the evaluation. pairs: by cohort, in the order of `cohort.pairs`. each: how many of a kind.
    """
    found: list[WorstPair] = []
    for cohort in cohorts:
        if cohort.name == TOGETHER and len(cohorts) > 1:
            continue
        mine = pairs[cohort.name]
        for same in (True, False):
            for i in _extreme(mine, same, each):
                first, second = (int(cohort.positions[side[i]]) for side in cohort.pairs)
                score = float(mine.cosine[i])
                found.append(WorstPair(len(found) + 1, cohort.name, same, score, first, second))
    return found


def draw_worst(found: Sequence[WorstPair], images: npt.NDArray[np.uint8], path: Path) -> Path:
    """Draw the pairs side by side; only numbers, datasets and scores are written, no names.

    Args:
        found: at least one pair. images: uint8 (n, h, w) of the evaluation.
    """
    datasets = list(dict.fromkeys(pair.dataset for pair in found))
    most = max(sum(p.dataset == d and p.same == s for p in found) for d in datasets for s in (True, False))
    figure = Figure(figsize=(4.2 * most + 0.4, 4.9 * len(datasets) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("Worst errors: each pair side by side, with its cosine similarity", fontsize=13)
    blocks = figure.subfigures(2 * len(datasets), 1, squeeze=False)[:, 0]
    for block, (dataset, same) in zip(blocks, [(d, s) for d in datasets for s in (True, False)], strict=True):
        kind = "one person, but little alike" if same else "two persons, but much alike"
        block.suptitle(f"{dataset}: {kind}", fontsize=11, color=COLOURS[0 if same else 1], x=0.01, ha="left")
        axes = block.subplots(1, 2 * most, squeeze=False)[0]
        for axis in axes:
            axis.set_axis_off()
        for k, pair in enumerate(p for p in found if p.dataset == dataset and p.same == same):
            show_image(axes[2 * k], images[pair.first], f"{pair.number} a")
            show_image(axes[2 * k + 1], images[pair.second], f"{pair.number} b: {pair.cosine:.2f}")
    return save(figure, path)


def _extreme(pairs: Pairs, same: bool, each: int) -> list[int]:
    chosen = np.flatnonzero(pairs.same == same)
    order = chosen[np.argsort(pairs.cosine[chosen] * (1 if same else -1), kind="stable")]
    seen: set[int] = set()
    taken: list[int] = []
    for i in order.tolist():
        persons = {int(pairs.first_patient[i]), int(pairs.second_patient[i])}
        if len(taken) < each and not persons & seen:
            seen |= persons
            taken.append(i)
    return taken
