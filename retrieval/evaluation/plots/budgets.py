"""What an alert list finds and how much of it is right, by its length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, ScalarFormatter

from retrieval.evaluation.plots.style import GREY, legend_below, line_style, panels, save


@dataclass(frozen=True)
class Panel:
    """One panel: shares in [0, 1] for each budget, by the name of the line."""

    title: str
    quantity: str
    lines: Mapping[str, Sequence[float]]


def draw_budgets(shown: Sequence[Panel], budgets: Sequence[float], marked: Sequence[float], path: Path) -> Path:
    """Draw curves over the alert budget.

    Args:
        budgets: alerts per 1,000 studies, ascending and above 0, of the points of each line. marked: the budgets that
            the tables are for.
    """
    figure, axes = panels([panel.title for panel in shown], "The alert list, by its length")
    names = list(dict.fromkeys(name for panel in shown for name in panel.lines))
    for axis, panel in zip(axes, shown, strict=True):
        for budget in marked:
            axis.axvline(budget, color=GREY, linestyle=":", linewidth=1)
        for name, shares in panel.lines.items():
            axis.plot(budgets, shares, label=name, **line_style(names.index(name)))
        axis.set_xscale("log")
        axis.set_xlim(budgets[0], budgets[-1])
        axis.set_ylim(0, 1.02)
        axis.xaxis.set_major_locator(FixedLocator([*marked, budgets[-1]]))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.set_xlabel("alerts per 1,000 studies")
        axis.set_ylabel(panel.quantity)
    legend_below(figure, axes, columns=3)
    return save(figure, path)
