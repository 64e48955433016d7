"""Which images of a split are encoded, and which of them are compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval.data.manifest import ImageRow
from retrieval.evaluation.cohort import LATERAL
from retrieval.evaluation.listed_pairs import ListedPairs, read_listed
from retrieval.evaluation.pairs import numbered


@dataclass(frozen=True)
class Selection:
    """Images of a split.

    Attributes:
        encoded: positions among the images of the split, ascending.
        compared: positions in `encoded` of the images that are compared.
        pairs: the list of pairs, by positions in `encoded`; None without a list.
    """

    encoded: tuple[int, ...]
    compared: tuple[int, ...]
    pairs: ListedPairs | None


def select(rows: Sequence[ImageRow], limit: int, pairs: Path | None = None) -> Selection:
    """Take whole patients up to the limit, lateral views too (for the gate alone), and what a list of pairs names.

    Args:
        rows: images of the split, at least one of them frontal.
        limit: how many images at most. pairs: see `read_listed`.

    Raises:
        ManifestInvalid: the list of pairs cannot be used.
    """
    frontal = [i for i, row in enumerate(rows) if row.view != LATERAL]
    lateral = [i for i, row in enumerate(rows) if row.view == LATERAL]
    compared = drawn(rows, frontal, limit)
    wanted = {*compared, *drawn(rows, lateral, limit)}
    listed = None if pairs is None else read_listed(pairs, [rows[i] for i in frontal])
    sides = [] if listed is None else [[frontal[i] for i in side.tolist()] for side in (listed.first, listed.second)]
    encoded = sorted(wanted.union(*sides))
    place = {i: k for k, i in enumerate(encoded)}
    moved = [np.array([place[i] for i in side], dtype=np.int64) for side in sides]
    return Selection(
        tuple(encoded),
        tuple(place[i] for i in compared),
        None if listed is None else ListedPairs(moved[0], moved[1], listed.same),
    )


def drawn(rows: Sequence[ImageRow], positions: Sequence[int], limit: int, seed: int = 0) -> list[int]:
    """Of these positions, in order, those of whole patients drawn at random until `limit` images; all if they fit."""
    if len(positions) <= limit:
        return list(positions)
    patients = numbered([rows[i].patient for i in positions])
    order = np.random.default_rng(seed).permutation(int(patients.max()) + 1)
    images = np.cumsum(np.bincount(patients)[order])
    kept = order[: max(1, int(np.searchsorted(images, limit, side="right")))]
    return [positions[i] for i in np.flatnonzero(np.isin(patients, kept)).tolist()]
