"""One image under every change of the test for shortcuts, so that a reader sees what was tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.evaluation.changes import CHANGES, letter_mask
from retrieval.evaluation.plots.style import panels, save, show_image


def draw_changes(images: npt.NDArray[np.uint8], path: Path) -> Path:
    """Draw one of uint8 (n, h, w), with about as many letters as is usual, as it is and under every change."""
    letters = np.array([letter_mask(candidate).sum() for candidate in images])
    usual = np.median(letters[letters > 0]) if letters.any() else 0
    image = images[int(np.argmin(np.abs(letters - usual)))]
    titles = ["unchanged", *(change.title for change in CHANGES)]
    figure, axes = panels(titles, "What was changed", height=1.0)
    rng = np.random.default_rng(0)
    shown = [image, *(change.apply(image, rng) for change in CHANGES)]
    for axis, title, picture in zip(axes, titles, shown, strict=True):
        show_image(axis, picture, title)
    return save(figure, path)
