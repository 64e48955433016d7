"""The protocol that the field reports by: a balanced list of pairs and leave-one-out search, Packhäuser et al. 2022."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.data.manifest import ImageRow
from retrieval.evaluation.listed_pairs import ListedPairs, PairFigures, pair_figures
from retrieval.evaluation.pairs import numbered
from retrieval.evaluation.search import search

Numbers = npt.NDArray[np.int64]

_SEED = 0


@dataclass(frozen=True)
class FieldFigures:
    """One method by that protocol.

    Attributes:
        pairs: verification on the list, every pair counted once.
        queries: images with a partner. precision_at_1, r_precision, map_at_r: of search among all images, in [0, 1].
    """

    pairs: PairFigures
    queries: int
    precision_at_1: float
    r_precision: float
    map_at_r: float


def balanced_pairs(rows: Sequence[ImageRow]) -> ListedPairs:
    """All pairs of one person, and as many of two, drawn at random within a dataset whatever their view, sex and age.

    Such pairs are easy: much of what tells two persons apart in them is their sex and age. Same rows, same pairs; fewer
    pairs of two persons where there are not so many.

    Source: Packhäuser et al. 2022, Scientific Reports 12, 14851, Methods.
    """
    patients, datasets = numbered([row.patient for row in rows]), numbered([row.dataset for row in rows])
    first, second = np.triu_indices(len(rows), k=1)
    one, near = patients[first] == patients[second], datasets[first] == datasets[second]
    others = np.flatnonzero(~one & near)
    count = min(int(one.sum()), len(others))
    drawn = np.random.default_rng(_SEED).choice(others, count, replace=False)
    chosen = np.concatenate([np.flatnonzero(one), np.sort(drawn)])
    return ListedPairs(first[chosen].astype(np.int64), second[chosen].astype(np.int64), one[chosen])


def kept_pairs(listed: ListedPairs, keep: npt.NDArray[np.bool_]) -> ListedPairs:
    """The pairs of which both images are to be kept: keep bool (n,) over all images."""
    which = keep[listed.first] & keep[listed.second]
    return ListedPairs(listed.first[which], listed.second[which], listed.same[which])


def field_figures(
    name: str, similarity: npt.NDArray[np.float32], rows: Sequence[ImageRow], listed: ListedPairs, rounds: int
) -> FieldFigures:
    """Figures of one method.

    Args:
        name: of the method. similarity: float32 (n, n), of the images of `rows`. listed: at least one pair of them.
        rounds: draws of patients for the intervals.

    Source: Packhäuser et al. 2022, tables 1 and 4.
    """
    found = search(similarity, numbered([row.patient for row in rows]))
    return FieldFigures(
        pair_figures(_Matrix(name, similarity), listed, rows, rounds),
        found.queries,
        found.precision_at_1,
        found.r_precision,
        found.map_at_r,
    )


@dataclass(frozen=True)
class _Matrix:
    name: str
    similarity: npt.NDArray[np.float32]

    def scores(self, first: Numbers, second: Numbers) -> npt.NDArray[np.float32]:
        """See `Scorer`."""
        return np.asarray(self.similarity[first, second], dtype=np.float32)
