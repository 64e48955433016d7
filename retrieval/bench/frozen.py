"""Features of a classifier that never saw a chest, as P2 and P5 use them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from retrieval.bench.extras import Extra, lsh_table, product_speed, threshold_table
from retrieval.bench.measures import MEASURES, cosine
from retrieval.bench.method import About, ArrayMethod, Images, Matrix
from retrieval.evaluation.cohort import Cohort
from retrieval.networks import Backbone
from retrieval.networks.input import network_input

_CHUNK = 16
SIDE = 224
_PROGRESS = Console(stderr=True)


class FrozenBackbone:
    """A torchvision backbone that is not trained.

    Args:
        name: torchvision's name.
        weights: safetensors file of a torchvision state dict; None for ImageNet weights that torchvision downloads if
            `pretrained`, else for random ones.
        side: in pixels, of the images that it gets; P2 and P5 take 224.

    Attributes:
        learned: what the weights were learned from, for the tables.

    Raises:
        WeightsNotUsable: no such backbone, or the file does not fit.
    """

    def __init__(self, name: str, weights: Path | None = None, pretrained: bool = False, side: int = SIDE) -> None:
        torch.manual_seed(0)
        self._side = side
        self._backbone = Backbone(name, pretrained=pretrained and weights is None)
        if weights is not None:
            self._backbone.load_torchvision_file(weights)
        self._backbone.eval().to(memory_format=torch.channels_last)
        self.name = name
        self.learned = "ImageNet" if pretrained or weights is not None else "nothing, random weights"

    def maps(self, images: Images, pool: nn.Module) -> Matrix:
        """Pooled deep feature maps of prepared images uint8 (n, h, w): float32 (n, c)."""
        parts = []
        with torch.inference_mode():
            for start in track(range(0, len(images), _CHUNK), description=self.name, console=_PROGRESS):
                batch = network_input(torch.from_numpy(images[start : start + _CHUNK].copy()), self._side)
                # The image by its own mean and deviation: P2 centres and standardises.
                centred = batch - batch.mean(dim=(2, 3), keepdim=True)
                batch = centred / batch.std(dim=(2, 3), keepdim=True).clamp(min=1e-3)
                parts.append(pool(self._backbone(batch.expand(-1, 3, -1, -1))[1]).flatten(1).numpy())
        return np.concatenate(parts)


class FrozenFeatures(ArrayMethod):
    """Average-pooled features of the layer before the classifier, compared by one measure. Source: P2.

    Args:
        backbone: see `FrozenBackbone`.
        measure: a key of `retrieval.bench.measures.MEASURES`.
    """

    def __init__(self, backbone: FrozenBackbone, measure: str = "cosine") -> None:
        self._backbone = backbone
        self._measure = MEASURES[measure]
        self.about = About(
            f"{backbone.name}-{measure.lower()}", f"frozen {backbone.name}, {measure}", "P2", backbone.learned
        )

    def represent(self, images: Images) -> Matrix:
        """Features float32 (n, c)."""
        return self._backbone.maps(images, nn.AdaptiveAvgPool2d(1))

    def similarity(self, first: Matrix, second: Matrix) -> Matrix:
        """Similarities float32 (n, m) by the measure."""
        return self._measure(first, second)

    def extras(self, represented: Matrix, cohorts: Sequence[Cohort]) -> list[Extra]:
        """P2's tables, where cosines are compared: thresholds, and the speed of the matrix product."""
        if self._measure is not cosine:
            return []
        found = [
            threshold_table(
                self.about.name, cosine(represented[cohort.positions], represented[cohort.positions]), cohort
            )
            for cohort in cohorts
        ]
        return [*found, product_speed(represented)]


class MaxPooledFeatures(ArrayMethod):
    """Max-pooled, flattened features, compared by cosine. Source: P5."""

    def __init__(self, backbone: FrozenBackbone) -> None:
        self._backbone = backbone
        self.about = About(f"{backbone.name}-max", f"frozen {backbone.name}, max-pooled", "P5", backbone.learned)

    def represent(self, images: Images) -> Matrix:
        """Features float32 (n, c)."""
        return self._backbone.maps(images, nn.AdaptiveMaxPool2d(1))

    def similarity(self, first: Matrix, second: Matrix) -> Matrix:
        """Cosines float32 (n, m)."""
        return cosine(first, second)

    def extras(self, represented: Matrix, cohorts: Sequence[Cohort]) -> list[Extra]:
        """P5's table: how much of the exact result locality-sensitive hashing finds."""
        return [lsh_table(self.about.name, represented)] if len(represented) > 1 else []
