"""Numbers per minute as the bars of a small drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 300.0
HEIGHT = 48.0
GAP = 2.0


@dataclass(frozen=True)
class Bar:
    """A rectangle in a drawing of WIDTH × HEIGHT units, and the count that it stands for."""

    x: float
    y: float
    width: float
    height: float
    count: int


def bars(counts: Sequence[int]) -> tuple[Bar, ...]:
    """One bar for each count, the highest as high as the drawing; zero is a line one unit high."""
    step = WIDTH / max(1, len(counts))
    most = max([1, *counts])
    found = []
    for index, count in enumerate(counts):
        height = max(1.0, HEIGHT * count / most)
        found.append(
            Bar(round(index * step, 2), round(HEIGHT - height, 2), round(step - GAP, 2), round(height, 2), count)
        )
    return tuple(found)
