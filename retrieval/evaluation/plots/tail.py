"""Are two persons as seldom so alike as was said? Counted against extrapolated shares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.evaluation.plots.style import COLOURS, GREY, legend_below, panels, save


def draw_tail(found: Mapping[str, npt.NDArray[np.float64]], path: Path) -> Path:
    """Draw a panel for each kind of patients, both axes logarithmic; a line on the diagonal is a tail that holds.

    Args:
        found: by kind, the share of strangers (n,) that was said to be as alike as each held-out pair of two persons.
    """
    figure, axes = panels(list(found), "Pairs of two persons that are at least so alike: said and counted")
    for axis, said in zip(axes, found.values(), strict=True):
        ranked = np.sort(said)
        counted = np.arange(1, len(ranked) + 1) / max(len(ranked), 1)
        least = 1.0 / max(len(ranked), 10)
        # With so many pairs, 95 % of the counts lie within two standard errors.
        spread = 2.0 * np.sqrt(counted / max(len(ranked), 1))
        axis.fill_between(
            counted,
            np.maximum(counted - spread, least / 10),
            counted + spread,
            color=COLOURS[5],
            alpha=0.3,
            label="95 % of counts, if pairs were independent",
        )
        axis.plot([least / 10, 1], [least / 10, 1], color=GREY, linestyle=":", label="as said")
        axis.plot(ranked, counted, color=COLOURS[0], label="counted")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlim(least / 10, 1)
        axis.set_ylim(least / 2, 1)
        axis.set_xlabel("share that was said")
        axis.set_ylabel("share that was counted")
    legend_below(figure, axes)
    return save(figure, path)
