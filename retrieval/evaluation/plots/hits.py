"""How often the right person is among the first k of the list, by k."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrieval.evaluation.cohort import Cohort
from retrieval.evaluation.plots.style import GREY, datasets_of, legend_below, line_style, methods_of, panels, save
from retrieval.evaluation.protocol import LENGTHS, Curves


def draw_hits(curves: Sequence[Curves], cohorts: Sequence[Cohort], path: Path) -> Path:
    """Draw a panel for each dataset, with the level of chance in a gallery of its size. P1's table, as curves."""
    names, methods = datasets_of(curves), methods_of(curves)
    sized = {cohort.name: cohort for cohort in cohorts}
    titles = [f"{name}: {len(sized[name].rows)} images" for name in names]
    figure, axes = panels(titles, "The right person among the first k of the gallery")
    lengths = np.arange(1, LENGTHS[-1] + 1)
    for axis, name in zip(axes, names, strict=True):
        for curve in curves:
            if curve.dataset == name:
                axis.plot(lengths, curve.hits, label=curve.method, **line_style(methods.index(curve.method)))
        axis.plot(lengths, chance_hits(sized[name], lengths), color=GREY, linestyle=":", linewidth=1, label="chance")
        axis.set_xlim(1, LENGTHS[-1])
        axis.set_xticks([1, *LENGTHS])
        axis.set_ylim(0, 1.02)
        axis.set_xlabel("k, length of the list")
        axis.set_ylabel("share of images")
    legend_below(figure, axes)
    return save(figure, path)


def chance_hits(cohort: Cohort, lengths: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> np.ndarray:
    """Share of queries that find a partner in a list drawn at random, by its length: float64 like `lengths`."""
    partners = np.bincount(cohort.patients)[cohort.patients] - 1
    wanted = partners[partners > 0][:, None]
    others = len(cohort.rows) - 1
    # No partner in k draws without replacement: the product of (others - wanted - i) / (others - i) over i < k.
    draws = np.arange(int(lengths.max()))[None, :]
    left = np.maximum(others - draws, 1)
    missed = np.cumprod(np.clip((others - wanted - draws) / left, 0.0, 1.0), axis=1)
    return np.asarray(1.0 - missed.mean(axis=0)[lengths - 1]) if len(wanted) else np.full(len(lengths), np.nan)
