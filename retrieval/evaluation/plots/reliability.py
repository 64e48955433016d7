"""Does a probability of 80 % mean 80 %? Said against true, with the number of pairs behind each point."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from retrieval.evaluation.metrics import Reliability
from retrieval.evaluation.plots.style import COLOURS, GREY, legend_below, panels, save


def draw_reliability(found: Mapping[str, Reliability], path: Path) -> Path:
    """Draw a panel for each dataset, at even odds of the two kinds of pairs; below each bin its pairs of each kind."""
    titles = [f"{name}: calibration error {d.expected_calibration_error:.3f}" for name, d in found.items()]
    figure, axes = panels(titles, "Calibrated probability of one person against the truth, at even odds", height=1.15)
    for axis, diagram in zip(axes, found.values(), strict=True):
        edges = np.linspace(0, 1, len(diagram.weight) + 1)
        axis.bar(
            edges[:-1],
            diagram.weight,
            width=np.diff(edges),
            align="edge",
            color=COLOURS[5],
            alpha=0.35,
            label="share of pairs, by weight",
        )
        axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect")
        axis.plot(diagram.said, diagram.true, marker="o", color=COLOURS[0], label="found")
        for left, same, different in zip(edges[:-1], diagram.same, diagram.different, strict=True):
            centre = left + 0.5 / len(diagram.weight)
            axis.text(centre, -0.13, _short(int(same)), ha="center", fontsize=7, color=COLOURS[0])
            axis.text(centre, -0.18, _short(int(different)), ha="center", fontsize=7, color=COLOURS[1])
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1.02)
        axis.set_xlabel(
            "probability that was said\n(numbers: pairs of one person, above, and of two, below)",
            labelpad=32,
            fontsize=9,
        )
        axis.set_ylabel("share that is one person")
    legend_below(figure, axes)
    return save(figure, path)


def _short(count: int) -> str:
    return f"{count / 1000:.0f}k" if count >= 10_000 else str(count)
