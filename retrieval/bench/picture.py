"""AUC and P@1 of every method as bars, the product's own in another colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from retrieval.bench.measure import Measured
from retrieval.evaluation.plots.style import COLOURS, GREY, save

_LINE = 0.26


def draw_comparison(found: Sequence[Measured], path: Path) -> Path:
    """Draw the first cohort's AUC with its interval, and P@1, a line for each method; at least one."""
    names = [one.about.name for one in found]
    mine = [one.about.source == "this product" for one in found]
    places = np.arange(len(found))
    figure = Figure(figsize=(9.5, 1.6 + _LINE * len(found)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    shown = [one.figures[0] for one in found]
    figure.suptitle(f"Who recognises persons: {shown[0].dataset}, {shown[0].images} images", fontsize=13)
    for axis, title, field in ((axes[0], "AUC", "auc"), (axes[1], "right person first (P@1)", "precision_at_1")):
        values = np.array([getattr(one, field) for one in shown])
        low, high = (np.array([getattr(one, f"{field}_{end}") for one in shown]) for end in ("low", "high"))
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
    axes[0].invert_yaxis()
    return save(figure, path)
