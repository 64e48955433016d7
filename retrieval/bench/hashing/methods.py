"""Hash codes as methods of the comparison: packed bits, compared by Hamming distance."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from retrieval.bench.frozen import FrozenBackbone
from retrieval.bench.hashing.labels import Labels, labels_of, learnable_findings, training_rows
from retrieval.bench.measures import minus_hamming
from retrieval.bench.method import About, ArrayMethod, Images, Matrix
from retrieval.codes import pack
from retrieval.data.cache import prepared_images


class HashMethod(ArrayMethod):
    """A method whose representation of an image is a code."""

    @abstractmethod
    def real_codes(self, images: Images) -> Matrix:
        """Real-valued codes float32 (n, bits) of prepared images uint8 (n, h, w); the sign is the bit."""

    def represent(self, images: Images) -> npt.NDArray[np.uint8]:
        """Packed bits uint8 (n, bits/8)."""
        return pack(self.real_codes(images))

    def similarity(self, first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Matrix:
        """Minus the Hamming distances, float32 (n, m)."""
        return minus_hamming(first, second)


class Coder(Protocol):
    """What turns features into codes."""

    def encode(self, features: Matrix) -> Matrix:
        """Real-valued codes float32 (n, bits) of features float32 (n, d)."""


class FeatureLessons:
    """Features of training images, which several methods learn from; computed when the first one asks.

    Args:
        backbone: of the features. manifest: CSV of images. cache: folder for prepared images.
        datasets: whose images; those of all data sets if empty. limit: images at most of each dataset.

    Raises:
        ManifestInvalid: no findings can be learned from the manifest; raised when the first method asks.
    """

    def __init__(
        self, backbone: Callable[[], FrozenBackbone], manifest: Path, cache: Path, datasets: tuple[str, ...], limit: int
    ) -> None:
        self._make, self._manifest, self._cache = backbone, manifest, cache
        self._datasets, self._limit = datasets, limit

    @cached_property
    def backbone(self) -> FrozenBackbone:
        """The network, loaded once."""
        return self._make()

    @cached_property
    def labels(self) -> Labels:
        """Findings of the training images."""
        return self._learned[0]

    @cached_property
    def features(self) -> Matrix:
        """Average-pooled features float32 (n, d) of the training images."""
        return self._learned[1]

    @cached_property
    def _learned(self) -> tuple[Labels, Matrix]:
        rows = training_rows(self._manifest, learnable_findings(self._manifest, self._datasets), self._limit)
        images = prepared_images(rows, self._cache)
        return labels_of(rows), features_of(self.backbone, images)


class FeatureHash(HashMethod):
    """Codes from features of a network that is not trained.

    Args:
        about: see `About`; what the method learned from is added to it.
        lessons: features to learn from. learn: makes the coder from them.
    """

    def __init__(self, about: About, lessons: FeatureLessons, learn: Callable[[FeatureLessons], Coder]) -> None:
        self._backbone = lessons.backbone
        torch.manual_seed(0)
        self._coder = learn(lessons)
        learned = f"{len(lessons.features)} chests, on features of {self._backbone.name} from {self._backbone.learned}"
        self.about = About(about.key, about.name, about.source, learned)

    def real_codes(self, images: Images) -> Matrix:
        """Real-valued codes float32 (n, bits)."""
        return self._coder.encode(features_of(self._backbone, images))


def features_of(backbone: FrozenBackbone, images: Images) -> Matrix:
    """Average-pooled features float32 (n, d), as P2 uses them."""
    return backbone.maps(images, nn.AdaptiveAvgPool2d(1))
