"""AUC and P@1 of the best method of each kind as bars, the product's own in another colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from retrieval.bench.families import families
from retrieval.bench.lead import OURS
from retrieval.bench.results import Results
from retrieval.evaluation.plots.style import COLOURS, GREY, save

_LINE = 0.42


def draw_comparison(results: Results, path: Path) -> Path:
    """Draw AUC and P@1 with their intervals, on all images, a bar for each kind of method."""
    kinds = families(results)
    lines = [kind.best for kind in kinds]
    places = np.arange(len(kinds))
    figure = Figure(figsize=(9.5, 1.5 + _LINE * len(kinds)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    figure.suptitle(
        f"Who recognises persons: {lines[0].figure('images'):,.0f} images, the best of each kind", fontsize=13
    )
    for axis, title, field in ((axes[0], "AUC", "auc"), (axes[1], "right person first (P@1)", "precision_at_1")):
        values = np.array([line.figure(field) for line in lines])
        low, high = (np.array([line.figure(f"{field}_{end}") for line in lines]) for end in ("low", "high"))
        errors = np.nan_to_num(np.clip(np.stack([values - low, high - values]), 0, None))
        colours = [COLOURS[0] if line.word("group") == OURS else "#bbbbbb" for line in lines]
        axis.barh(places, values, color=colours, height=0.7)
        axis.errorbar(values, places, xerr=errors, fmt="none", ecolor="#333333", elinewidth=1)
        for place, value in zip(places, values, strict=True):
            axis.text(1.04, place, f"{value:.2f}", va="center", fontsize=9)
        axis.set_title(title, fontsize=11)
        axis.set_xlim(0, 1.14)
        axis.set_xticks(np.linspace(0, 1, 6))
        axis.grid(True, axis="x", color="#dddddd", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].axvline(0.5, color=GREY, linestyle=":", linewidth=1)
    axes[0].set_yticks(places, [f"{kind.name} ({kind.source})" for kind in kinds], fontsize=9)
    axes[0].set_ylim(len(kinds) - 0.4, -0.6)
    return save(figure, path)
