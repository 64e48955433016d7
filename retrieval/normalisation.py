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
        found = [Held.of(*group, Strangers.of(*group), cls(0.0, 1.0)).together() for group in groups]
        levels = [one for one in found if one is not None]
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


@dataclass(frozen=True, eq=False)
class Held:
    """n images held against the strangers of a gallery; the own person of each is none, where it is among them.

    Attributes:
        strangers: k persons. population: counts as much as `KNOWN_BEFORE` strangers.
        cosines: float64 (n, k), -inf where a stranger does not count. ordered: the same of each image, descending.
        count: int64 (n,), how many strangers count.
        sums, squares: float64 (n, k + 1), of the cosines of the 0, 1, ... k strangers most alike, and of their squares.
    """

    strangers: Strangers
    population: Population
    cosines: Floats
    ordered: Floats
    count: Numbers
    sums: Floats
    squares: Floats

    @classmethod
    def of(cls, embeddings: Embedding, persons: Numbers, strangers: Strangers | None, population: Population) -> Held:
        """Hold embeddings float32 (n, dim), of unit length, of persons int64 (n,) against strangers.

        Args:
            persons: as in `strangers`; `NOBODY` for no label.
            strangers: of the gallery; None without one, and the population stands for them.
        """
        if strangers is None:
            strangers = Strangers(np.empty((0, embeddings.shape[1]), np.float32), np.empty(0, np.int64))
        cosines = (embeddings @ strangers.embeddings.T).astype(np.float64)
        used = (persons[:, None] != strangers.persons[None, :]) & (cosines < strangers.apart)
        cosines[~used] = -np.inf
        ordered = np.sort(cosines, axis=1)[:, ::-1]
        counted = np.where(np.isfinite(ordered), ordered, 0.0)
        count = used.sum(axis=1).astype(np.int64)
        return cls(strangers, population, cosines, ordered, count, _running(counted), _running(counted**2))

    def levels(self) -> Levels:
        """How alike each image is to the nearest strangers, whomever it is compared with."""
        return self._levels(*self._nearest())

    def beside(self, rows: Numbers, others: Numbers) -> Levels:
        """The same of the images at positions int64 (m,), each beside a person int64 (m,) it is compared with.

        That person is no stranger: in a small gallery it would stand among the nearest and hide that it is the one
        shown, and nobody would be as alike to an image as the most alike stranger.
        """
        order = np.argsort(self.strangers.persons, kind="stable")
        known = self.strangers.persons[order]
        place = np.searchsorted(known, others)
        found = place < len(known)
        found[found] = known[place[found]] == others[found]
        column = np.zeros(len(others), np.int64)
        column[found] = order[place[found]]
        out = np.zeros(len(others)) if not len(known) else self.cosines[rows, column]
        left_out = found & np.isfinite(out)
        count = self.count[rows] - left_out
        nearest = np.ceil(NEAREST * count).astype(np.int64)
        among = left_out.copy()
        # As alike as the last of the nearest is as good as among them: leaving out either of two equals is the same.
        among[left_out] = out[left_out] >= self.ordered[rows[left_out], nearest[left_out] - 1]
        taken, one = nearest + among, np.where(among, out, 0.0)
        return self._levels(nearest, self.sums[rows, taken] - one, self.squares[rows, taken] - one**2)

    def together(self) -> tuple[float, float] | None:
        """Mean and standard deviation of the cosines of all images with their nearest strangers; None without any."""
        count, sums, squares = self._nearest()
        if not count.any():
            return None
        total = count.sum()
        mean = float(sums.sum() / total)
        return mean, float(np.sqrt(max(squares.sum() / total - mean**2, 0.0)))

    def _nearest(self) -> tuple[Numbers, Floats, Floats]:
        nearest = np.ceil(NEAREST * self.count).astype(np.int64)
        rows = np.arange(len(nearest))
        return nearest, self.sums[rows, nearest], self.squares[rows, nearest]

    def _levels(self, count: Numbers, sums: Floats, squares: Floats) -> Levels:
        """From how many the nearest are (n,), and the sums (n,) of their cosines and squares."""
        before, known = NEAREST * KNOWN_BEFORE, self.population
        apart = np.maximum(squares - sums**2 / np.maximum(count, 1), 0.0)
        return Levels(
            (sums + before * known.mean) / (count + before),
            np.sqrt((apart + before * known.deviation**2) / (count + before)),
        )


def levels(embeddings: Embedding, persons: Numbers, strangers: Strangers | None, population: Population) -> Levels:
    """`Held.levels` of images float32 (n, dim) of persons int64 (n,), some at a time, however many there are.

    Source: adaptive S-norm; Matějka et al. 2017, Analysis of score normalization in multilingual speaker recognition,
    Interspeech; Cumani et al. 2011, Comparison of speaker recognition approaches for real applications, Interspeech.
    """
    blocks = [slice(start, start + _BLOCK) for start in range(0, max(len(embeddings), 1), _BLOCK)]
    found = [Held.of(embeddings[block], persons[block], strangers, population).levels() for block in blocks]
    return Levels(*(np.concatenate([getattr(one, name) for one in found]) for name in ("mean", "deviation")))


def symmetric(cosines: npt.NDArray[np.floating], one: Levels, other: Levels) -> Floats:
    """The mean of both images' standard scores (n,) of cosines (n,): 0 is as alike as the nearest strangers are.

    Source: S-norm; Kenny 2010, Bayesian speaker verification with heavy-tailed priors, Odyssey.
    """
    return 0.5 * (one.scores(cosines) + other.scores(cosines))


def _running(values: Floats) -> Floats:
    """Sums (n, k + 1) of the first 0, 1, ... k of values (n, k)."""
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
