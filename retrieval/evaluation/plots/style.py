"""What all pictures share: panels, colours that colour-blind readers can tell apart, and saving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito 2008, Color Universal Design; each with a dash pattern of its own, for print in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (4, 1, 1, 1)), (0, (2, 1)), (0, (8, 2, 2, 2)), (0, (1, 1)), "-.")
GREY = "#777777"
_DPI = 110
_PANEL = (4.6, 3.9)
_COLUMNS = 3


def panels(names: Sequence[str], title: str, height: float = 1.0) -> tuple[Figure, list[Any]]:
    """A figure with one titled panel for each name, three in a row, and room for a legend below.

    Args:
        names: at least one. title: of the whole. height: of a panel, relative to the usual one.
    """
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    width = max(columns * _PANEL[0], 7.5)
    figure = Figure(figsize=(width, rows * _PANEL[1] * height + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13)
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for empty in axes[len(names) :]:
        empty.set_axis_off()
    for name, axis in zip(names, axes, strict=False):
        axis.set_title(name, fontsize=11)
        axis.grid(True, which="major", color="#dddddd", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[: len(names)])


def line_style(place: int) -> dict[str, Any]:
    """Colour and dashes of the method at this place of the list of methods; the first is the heaviest line."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place % len(DASHES)],
        "linewidth": 2.4 if place == 0 else 1.5,
    }


def legend_below(figure: Figure, axes: Sequence[Any], columns: int = 4) -> None:
    """One legend for all panels below them, each label once."""
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(
        list(found.values()), list(found), loc="outside lower center", ncols=min(columns, len(found)), frameon=False
    )


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG and return its path; no software or date in its metadata."""
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path


def methods_of(items: Sequence[Any]) -> list[str]:
    """Names of the methods, in the order of the dataset that has most of them."""
    fullest = max(datasets_of(items), key=lambda name: sum(item.dataset == name for item in items))
    ordered = [item for item in items if item.dataset == fullest] + list(items)
    return list(dict.fromkeys(item.method for item in ordered))


def datasets_of(items: Sequence[Any]) -> list[str]:
    """Names of the datasets in the order in which they first come."""
    return list(dict.fromkeys(item.dataset for item in items))


def show_image(axis: Any, image: np.ndarray[Any, np.dtype[np.uint8]], title: str) -> None:
    """Show a grey image uint8 (h, w) without axes."""
    axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()
