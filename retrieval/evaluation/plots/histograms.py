"""How the scores of pairs of one person and of two are spread, and how far they overlap."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from retrieval.evaluation.pairs import Pairs
from retrieval.evaluation.plots.style import COLOURS, legend_below, panels, save

_BINS = 60


def draw_histograms(pairs: Mapping[str, Pairs], path: Path) -> Path:
    """Draw the cosine similarities of the fair pairs of each dataset, counts on a logarithmic axis."""
    names = list(pairs)
    figure, axes = panels(names, "Cosine similarity of two images, number of pairs")
    for axis, found in zip(axes, pairs.values(), strict=True):
        edges = np.linspace(min(float(found.cosine.min(initial=0)), 0.0), 1.0, _BINS)
        style = {"histtype": "stepfilled", "alpha": 0.35, "linewidth": 1.4}
        for label, kind, colour in (
            ("different persons", ~found.same, COLOURS[1]),
            ("same person", found.same, COLOURS[0]),
        ):
            axis.hist(found.cosine[kind], edges, label=label, color=colour, **style)
            axis.hist(found.cosine[kind], edges, histtype="step", color=colour, linewidth=1.4)
            if kind.any():
                axis.axvline(float(np.median(found.cosine[kind])), color=colour, linestyle="--", linewidth=1)
        axis.set_yscale("log")
        axis.set_ylim(bottom=0.7)
        axis.set_xlim(edges[0], 1.0)
        axis.set_xlabel("cosine similarity (dashed: median)")
        axis.set_ylabel("pairs")
    legend_below(figure, axes)
    return save(figure, path)
