"""Adaptive symmetric score normalisation: how alike two images are, by how alike each is to the nearest strangers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.errors import CalibrationInvalid

Embedding = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

# Strangers an image is held against: the mean of the nearest is then known to an eighth of their deviation.
COHORT = 256
# Share of the strangers, the most alike, that tell how alike an image is to those it could be taken for. A gallery
# holds adults and children, upright and bedside images; held against all of them, any two bedside images look alike.
NEAREST = 0.25
# As many strangers as what was known beforehand counts for, so that a young gallery does not swing the scale.
KNOWN_BEFORE = 30
# Images whose cosines are in memory at once.
_BLOCK = 8192
# No person has this number.
NOBODY = int(np.iinfo(np.int64).min)


@dataclass(frozen=True)
class Population:
    """Cosines of an image with the nearest strangers where nothing is known of the gallery.

    Attributes:
        mean: in [-1, 1]. deviation: standard deviation, > 0.
    """

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not (-1.0 <= self.mean <= 1.0 and 0.0 < self.deviation <= 1.0):
            raise CalibrationInvalid("Cosines of two persons have a mean in [-1, 1] and a deviation in (0, 1].")

    @classmethod
    def measured(cls, groups: Iterable[tuple[Embedding, Numbers]]) -> Population:
        """From images of known persons, every group with the same weight.

        Args:
            groups: of embeddings float32 (n, dim), of unit length, and persons int64 (n,).

        Raises:
            CalibrationInvalid: no group has images of two persons.
        """
        found = [_nearest(*group, Strangers.of(*group), group[1]) for group in groups]
        levels = [one.together() for one in found if one.count.any()]
        if not levels:
            raise CalibrationInvalid("A calibration needs images of at least two persons.")
        mean, deviation = np.mean(levels, axis=0)
        return cls(float(mean), max(float(deviation), 1e-6))


@dataclass(frozen=True, eq=False)
class Strangers:
    """One image each of k persons of a gallery, against whom every image is held.

    Attributes:
        embeddings: float32 (k, dim), of unit length. persons: int64 (k,), each once.
        apart: cosine from which on one of them is no stranger to an image but shows its person, where no label tells.
    """

    embeddings: Embedding
    persons: Numbers
    apart: float = math.inf

    @classmethod
    def of(cls, embeddings: Embedding, persons: Numbers, most: int = COHORT) -> Strangers:
        """Choose from images float32 (n, dim) of persons int64 (n,), see `chosen`."""
        rows = chosen(persons, np.arange(len(persons)), most)
        return cls(embeddings[rows], persons[rows])


def chosen(persons: Numbers, ids: Numbers, most: int = COHORT) -> Numbers:
    """Choose up to `most` persons as if by lot, and of each the image with the lowest id.

    The lot is a hash of the person's number (splitmix64, Steele et al. 2014), so the same gallery always gives the
    same choice, and few change when it grows.

    Args:
        persons: int64 (n,). ids: int64 (n,), of the images.

    Returns:
        Positions int64 (k,), in the order of the lot.
    """
    order = np.lexsort((ids, persons))
    first = order[np.unique(persons[order], return_index=True)[1]]
    lots = persons[first].astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    lots = (lots ^ (lots >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    lots = (lots ^ (lots >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(first[np.argsort(lots ^ (lots >> np.uint64(31)))[:most]], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Levels:
    """How alike each of n images is to the nearest strangers: mean and standard deviation of cosines, float64 (n,)."""

    mean: Floats
    deviation: Floats

    def chosen(self, positions: Numbers) -> Levels:
        """Only those of the images at these positions (m,)."""
        return Levels(self.mean[positions], self.deviation[positions])

    def scores(self, cosines: npt.NDArray[np.floating]) -> Floats:
        """Standard scores (n,) of cosines (n,)."""
        return np.asarray((cosines - self.mean) / self.deviation, dtype=np.float64)


def levels(
    embeddings: Embedding,
    persons: Numbers,
    strangers: Strangers | None,
    population: Population,
    compared: Numbers | None = None,
) -> Levels:
    """Hold images against the strangers most alike; their own person, where it is among them, is left out.

    What is known of the population counts as much as `KNOWN_BEFORE` strangers, and alone where there are none.

    Args:
        embeddings: float32 (n, dim), of unit length. persons: int64 (n,), as in `strangers`; `NOBODY` for no label.
        strangers: of the gallery; None without one.
        compared: int64 (n,), the person that each image is compared with, who is no stranger then: in a small gallery
            they would stand among the nearest and hide that they are the person shown.

    Source: adaptive S-norm; Matějka et al. 2017, Analysis of score normalization in multilingual speaker recognition,
    Interspeech; Cumani et al. 2011, Comparison of speaker recognition approaches for real applications, Interspeech.
    """
    n, before = len(embeddings), NEAREST * KNOWN_BEFORE
    if strangers is None or not len(strangers.persons):
        return Levels(np.full(n, population.mean), np.full(n, population.deviation))
    if n > _BLOCK:
        blocks = [slice(start, start + _BLOCK) for start in range(0, n, _BLOCK)]
        others = [None if compared is None else compared[block] for block in blocks]
        found = [
            levels(embeddings[block], persons[block], strangers, population, other)
            for block, other in zip(blocks, others, strict=True)
        ]
        return Levels(*(np.concatenate([getattr(one, name) for one in found]) for name in ("mean", "deviation")))
    near = _nearest(embeddings, persons, strangers, persons if compared is None else compared)
    return Levels(
        (near.count * near.mean + before * population.mean) / (near.count + before),
        np.sqrt((near.squares + before * population.deviation**2) / (near.count + before)),
    )


def symmetric(cosines: npt.NDArray[np.floating], one: Levels, other: Levels) -> Floats:
    """The mean of both images' standard scores (n,) of cosines (n,): 0 is as alike as the nearest strangers are.

    Source: S-norm; Kenny 2010, Bayesian speaker verification with heavy-tailed priors, Odyssey.
    """
    return 0.5 * (one.scores(cosines) + other.scores(cosines))


@dataclass(frozen=True, eq=False)
class _Nearest:
    """Cosines of n images with the strangers most alike.

    Attributes:
        count: int64 (n,), how many they are. mean: float64 (n,). squares: float64 (n,), squared deviations from it.
    """

    count: Numbers
    mean: Floats
    squares: Floats

    def together(self) -> tuple[float, float]:
        """Mean and standard deviation of the cosines of all images."""
        total = self.count.sum()
        mean = float(self.count @ self.mean / total)
        apart = self.squares.sum() + self.count @ (self.mean - mean) ** 2
        return mean, float(np.sqrt(apart / total))


def _nearest(embeddings: Embedding, persons: Numbers, strangers: Strangers, compared: Numbers) -> _Nearest:
    cosines = (embeddings @ strangers.embeddings.T).astype(np.float64)
    used = (persons[:, None] != strangers.persons[None, :]) & (compared[:, None] != strangers.persons[None, :])
    used &= cosines < strangers.apart
    cosines = np.where(used, cosines, -np.inf)
    count = np.ceil(NEAREST * used.sum(axis=1)).astype(np.int64)
    counted = np.arange(len(strangers.persons))[None, :] < count[:, None]
    ordered = np.where(counted, np.sort(cosines, axis=1)[:, ::-1], 0.0)
    mean = ordered.sum(axis=1) / np.maximum(count, 1)
    squares = np.where(counted, (ordered - mean[:, None]) ** 2, 0.0).sum(axis=1)
    return _Nearest(count, mean, squares)
