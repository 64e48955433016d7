"""Where hash networks look: their attention over a few of the compared images, as P4's figure 5 shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from retrieval import preprocess
from retrieval.bench.method import Images, Matrix
from retrieval.data.cache import read_gray
from retrieval.data.manifest import ImageRow
from retrieval.evaluation.cohort import Cohort
from retrieval.evaluation.findings import finding_sets
from retrieval.evaluation.plots.style import save, show_image

_MOST = 5
_SIDE = 2.1


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """Attention of one network.

    Attributes:
        name: of the method. titles: findings of the n images.
        images: uint8 (n, h, w), prepared. weights: float32 (n, h', w'), in [-1, 1].
    """

    name: str
    titles: tuple[str, ...]
    images: Images
    weights: Matrix

    def write(self, path: Path) -> None:
        """Keep them as a file; it appears complete or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(
            partial, name=np.array(self.name), titles=np.array(self.titles), images=self.images, weights=self.weights
        )
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> HeatMaps:
        """What `write` wrote."""
        with np.load(path) as kept:
            return cls(str(kept["name"]), tuple(kept["titles"].tolist()), kept["images"], kept["weights"])


def examples(cohorts: Sequence[Cohort]) -> list[ImageRow]:
    """The first image of every finding, of one cohort after the other, up to five; those without any come last."""
    found: dict[tuple[str, str], ImageRow] = {}
    for cohort in cohorts:
        for row in cohort.rows:
            for word in sorted(finding_sets([row.finding])[0]):
                found.setdefault((row.dataset, word), row)
    chosen = dict.fromkeys(row for (_, word), row in found.items() if not word.startswith("no"))
    chosen |= dict.fromkeys(found.values())
    return list(chosen)[:_MOST]


def prepared(rows: Sequence[ImageRow]) -> Images:
    """These images as every method sees them: uint8 (n, h, w)."""
    return np.stack([preprocess.prepare(read_gray(row.path)) for row in rows])


def draw_heat_maps(maps: Sequence[HeatMaps], path: Path) -> Path:
    """Draw the images in a row, and below them a row for each network: red is where it looks hardest.

    Args:
        maps: at least one, all of the same images.
    """
    first = maps[0]
    columns, rows = len(first.titles), 1 + len(maps)
    figure = Figure(figsize=(1.2 + _SIDE * columns, 0.5 + _SIDE * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, image, title in zip(axes[0], first.images, first.titles, strict=True):
        show_image(axis, image, title)
    for line, mine in zip(axes[1:], maps, strict=True):
        for axis, image, weights in zip(line, mine.images, mine.weights, strict=True):
            show_image(axis, image, "")
            axis.imshow(_heat(weights, image.shape), cmap="jet", vmin=0, vmax=1, alpha=0.45)
        line[0].set_title(mine.name, fontsize=9, loc="left")
    return save(figure, path)


def _heat(weights: Matrix, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Strength of the attention at every pixel, from 0 (least) to 1 (most of this image)."""
    strength = np.abs(weights)
    span = float(np.ptp(strength))
    scaled = (strength - strength.min()) / span if span > 0 else np.zeros_like(strength)
    enlarged = cv2.resize(np.asarray(scaled, dtype=np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, dtype=np.float32)
