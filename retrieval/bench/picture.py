"""AUC and P@1 of every method as bars, the product's own in another colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from retrieval.bench.lead import OURS
from retrieval.bench.results import Results
from retrieval.evaluation.plots.style import COLOURS, GREY, save

_LINE = 0.26


def draw_comparison(results: Results, path: Path) -> Path:
    """Draw AUC with its interval, and P@1, on all images, a line for each method."""
    shown = results.of(results.datasets[-1])
    names = [line.word("name") for line in shown]
    mine = [line.word("group") == OURS for line in shown]
    places = np.arange(len(shown))
    figure = Figure(figsize=(9.5, 1.6 + _LINE * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    images = max(line.figure("images") for line in shown)
    figure.suptitle(f"Who recognises persons: {shown[0].word('dataset')}, {images:.0f} images", fontsize=13)
    for axis, title, field in ((axes[0], "AUC", "auc"), (axes[1], "right person first (P@1)", "precision_at_1")):
        values = np.array([line.figure(field) for line in shown])
        low, high = (np.array([line.figure(f"{field}_{end}") for line in shown]) for end in ("low", "high"))
        errors = np.nan_to_num(np.clip(np.stack([values - low, high - values]), 0, None))
        axis.barh(places, values, color=[COLOURS[0] if own else "#bbbbbb" for own in mine], height=0.7)
        axis.errorbar(values, places, xerr=errors, fmt="none", ecolor="#333333", elinewidth=1)
        axis.set_title(title, fontsize=11)
        axis.set_xlim(0, 1.02)
        axis.grid(True, axis="x", color="#dddddd", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].axvline(0.5, color=GREY, linestyle=":", linewidth=1)
    axes[0].set_yticks(places, names, fontsize=9)
    axes[0].set_ylim(len(shown) - 0.4, -0.6)
    return save(figure, path)
