"""ROC curves with a logarithmic axis of false positive rates, where the errors that matter can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrieval.evaluation.plots.style import GREY, datasets_of, legend_below, line_style, methods_of, panels, save
from retrieval.evaluation.protocol import CURVE_RATES, Curves, Figures


def draw_roc(curves: Sequence[Curves], figures: Sequence[Figures], path: Path) -> Path:
    """Draw a panel for each dataset; bars are the 95 % intervals at the false positive rates of the table.

    Args:
        curves, figures: of the same methods on the same cohorts.
    """
    names, methods = datasets_of(curves), methods_of(curves)
    figure, axes = panels(names, "Same person accepted, by the rate of other persons accepted")
    for axis, name in zip(axes, names, strict=True):
        for curve in curves:
            if curve.dataset == name and len(curve.true_positive_rate):
                axis.plot(
                    CURVE_RATES, curve.true_positive_rate, label=curve.method, **line_style(methods.index(curve.method))
                )
        for place, row in enumerate(f for f in figures if f.dataset == name):
            _bars(axis, row, place, line_style(methods.index(row.method))["color"])
        axis.plot(CURVE_RATES, CURVE_RATES, color=GREY, linewidth=1, linestyle=":", label="chance")
        axis.set_xscale("log")
        axis.set_xlim(_lowest(curves, name), 1)
        axis.set_ylim(0, 1.02)
        axis.set_xlabel("false positive rate")
        axis.set_ylabel("true positive rate")
    legend_below(figure, axes)
    return save(figure, path)


def _bars(axis: object, row: Figures, place: int, colour: str) -> None:
    spans = (
        (1e-2, row.tpr_at_fpr_1e2, row.tpr_at_fpr_1e2_low, row.tpr_at_fpr_1e2_high),
        (1e-3, row.tpr_at_fpr_1e3, row.tpr_at_fpr_1e3_low, row.tpr_at_fpr_1e3_high),
    )
    for rate, value, low, high in spans:
        if np.isfinite([value, low, high]).all():
            # Side by side, so that bars of several methods at one rate do not hide each other.
            axis.errorbar(  # type: ignore[attr-defined]
                rate * 1.07 ** (place - 2),
                value,
                yerr=[[max(value - low, 0)], [max(high - value, 0)]],
                fmt="o",
                markersize=3,
                color=colour,
                capsize=2,
                linewidth=1.2,
            )


def _lowest(curves: Sequence[Curves], name: str) -> float:
    shown = [
        CURVE_RATES[np.isfinite(curve.true_positive_rate)][0]
        for curve in curves
        if curve.dataset == name and np.isfinite(curve.true_positive_rate).any()
    ]
    return float(min(shown, default=1e-3))
