"""Images of other patients that are hard to tell from a given one: alike on paper, or alike to a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retrieval.data.manifest import ImageRow
from retrieval.errors import ConfigInvalid
from retrieval.index import HnswIndex

Positions = npt.NDArray[np.int64]

AGE_DIFFERENCE = 3.0


class HardNegatives(Protocol):
    """Proposes hard negatives for each image of a list."""

    def of(self, position: int) -> Positions:
        """Positions int64 (k,) of images of other patients; empty where there is none that is hard."""
        ...


class AlikeOnPaper:
    """Other patients of the same dataset, view and sex, whose age differs by three years at most.

    What is not known of an image must not be known of its negatives either, else the gap would give them away.

    Args:
        rows: n images.

    Pairs that sex and age alone tell apart teach nothing about the image.

    Source: P3, "same class" of algorithm 2.
    """

    def __init__(self, rows: Sequence[ImageRow]) -> None:
        self._patient = patient_numbers(rows)
        self._age = np.array([np.nan if row.age is None else row.age for row in rows], dtype=np.float64)
        keys = [(row.dataset, row.view, row.sex, row.age is None) for row in rows]
        groups: dict[tuple[str, str, str, bool], list[int]] = {}
        for position, key in enumerate(keys):
            groups.setdefault(key, []).append(position)
        # By age, so that those within three years stand next to each other.
        by_age = {key: np.array(group)[np.argsort(self._age[group], kind="stable")] for key, group in groups.items()}
        self._group = [by_age[key] for key in keys]
        self._ages = {key: self._age[group] for key, group in by_age.items()}
        self._key = keys

    def of(self, position: int) -> Positions:
        """Positions int64 (k,) of the images that match, see `HardNegatives.of`."""
        group, age = self._group[position], self._age[position]
        if not np.isnan(age):
            ages = self._ages[self._key[position]]
            first = np.searchsorted(ages, age - AGE_DIFFERENCE, side="left")
            last = np.searchsorted(ages, age + AGE_DIFFERENCE, side="right")
            group = group[first:last]
        return np.asarray(group[self._patient[group] != self._patient[position]], dtype=np.int64)


class AlikeToNetwork:
    """The other patients' images that lie nearest in a trained network's embedding, found with the product's index.

    Args:
        rows: n images.
        embedding: float32 (n, d), not zero.
        count: how many to propose for each image, ≥ 1.

    Raises:
        ConfigInvalid: there is not one embedding an image.
        IndexInputInvalid: an embedding is zero or not finite.

    Source: P1, iterative hard negatives.
    """

    def __init__(self, rows: Sequence[ImageRow], embedding: npt.NDArray[np.float32], count: int = 10) -> None:
        if embedding.ndim != 2 or len(embedding) != len(rows):
            raise ConfigInvalid(f"{len(rows)} images need as many embeddings, not an array of shape {embedding.shape}.")
        self._patient = patient_numbers(rows)
        self._own = np.bincount(self._patient)
        self._embedding = embedding
        self._count = count
        self._index = HnswIndex(embedding.shape[1])
        self._index.add(np.arange(len(rows), dtype=np.int64), embedding)

    def of(self, position: int) -> Positions:
        """Positions int64 (≤ count,) of the nearest images, most similar first, see `HardNegatives.of`."""
        own = self._patient[position]
        found = self._index.search(self._embedding[position], self._count + int(self._own[own])).ids
        others: Positions = found[self._patient[found] != own]
        return others[: self._count]


def patient_numbers(rows: Sequence[ImageRow]) -> Positions:
    """Number the patients: int64 (n,), equal where the names are."""
    return np.unique([row.patient for row in rows], return_inverse=True)[1].astype(np.int64).reshape(-1)
