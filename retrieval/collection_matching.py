"""Two collections of images held against each other: all pairs that are alike enough, by blocked matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from retrieval.audit.floor import least_rare_cosine
from retrieval.comparison import Comparer
from retrieval.errors import DeviceFailed, IndexInputInvalid, TooManyPairs
from retrieval.normalisation import COHORT, Held, Strangers
from retrieval.runtime import is_device_failure, place_of

Vectors = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

# Rows and columns of one product: 64 MiB of similarities.
ROWS, COLUMNS = 2048, 8192
# More partners for each image of a block are no matches any more, and would fill the memory.
MOST_PARTNERS = 1000
# Pairs compared closely at once.
_PAIRS = 4096


@dataclass(frozen=True, eq=False)
class Matches:
    """n pairs of an image of the first collection and one of the second.

    Attributes:
        first, second: int64 (n,), rows.
        cosine: float32 (n,), in [-1, 1]. hamming: int64 (n,), of the identity halves of the codes.
        log_ratio: float64 (n,), natural-log likelihood ratio, one person against two.
        probability: float64 (n,), that both show one person, if one pair in two does.
    """

    first: Rows
    second: Rows
    cosine: Vectors
    hamming: Rows
    log_ratio: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)

    def chosen(self, rows: npt.NDArray[np.integer]) -> Matches:
        """Only these pairs, in this order."""
        return Matches(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Matches]) -> Matches:
        """One after the other; none of no parts."""
        parts = [_NOTHING, *parts]
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def best_first(self) -> Matches:
        """The most probable first; ties by cosine, then by rows."""
        return self.chosen(np.lexsort((self.second, self.first, -self.cosine, -self.log_ratio)))

    def top(self, k: int) -> Matches:
        """For each image of the first collection its `k` most probable partners, in the order of `best_first`."""
        ordered = self.best_first()
        by_row = np.argsort(ordered.first, kind="stable")
        rows = ordered.first[by_row]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)
        return ordered.chosen(np.sort(by_row[place < k]))


_NOTHING = Matches(
    np.empty(0, np.int64),
    np.empty(0, np.int64),
    np.empty(0, np.float32),
    np.empty(0, np.int64),
    np.empty(0, np.float64),
    np.empty(0, np.float64),
)


def alike(first: Vectors, second: Vectors, least: float, device: str = "auto") -> Iterator[tuple[Rows, Rows]]:
    """All pairs of rows whose cosine is at least so high, a block of the first collection at a time.

    Args:
        first: float32 (n, dim), second: float32 (m, dim), of unit length.
        least: in [-1, 1].
        device: see `retrieval.runtime.place_of`.

    Yields:
        for rows 0 to 2047 of `first`, then for the next, int64 (k,) rows of either, in order.

    Raises:
        IndexInputInvalid: vectors of different length.
        TooManyPairs: so many are alike that the threshold separates nobody.
        DeviceFailed: the GPU broke down or ran out of memory.

    Source: P2, collection matching: S = X·Yᵀ in blocks, then S[i, j] ≥ threshold.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise IndexInputInvalid("Two collections can only be matched if one network has encoded both.")
    place = place_of(device)
    for start in range(0, len(first), ROWS):
        try:
            yield _block(first, second, start, least, place)
        except RuntimeError as error:
            if is_device_failure(error):
                raise DeviceFailed("The GPU failed; match again with the option encoder.device set to cpu.") from error
            raise


class Encoded(Protocol):
    """A collection: embedding float32 (n, dim), of unit length, and code uint8 (n, bits/8)."""

    @property
    def embedding(self) -> Vectors: ...
    @property
    def code(self) -> Codes: ...


def unlabelled(embeddings: Vectors, comparer: Comparer) -> Strangers:
    """Choose images float32 (n, dim) against whom each is held where nobody knows who is who.

    Each is taken for a person of its own, whose number is its row; but two that are more alike than one in as many
    strangers is expected to be show one person, or else other images of a person would stand in for strangers.
    """
    found = Strangers.of(embeddings, np.arange(len(embeddings)))
    apart = least_rare_cosine(comparer, 1.0 / COHORT)
    return found if apart is None else replace(found, apart=apart)


def compare_pairs(
    comparer: Comparer,
    first: Encoded,
    second: Encoded,
    rows: Rows,
    columns: Rows,
    strangers: Strangers | None = None,
    offset: int = 0,
) -> Matches:
    """Compare pairs by everything that the network gives.

    Args:
        rows, columns: int64 (k,), rows of the first collection, ascending, and of the second.
        strangers: images of both, against whom each is held; its persons are rows of the first collection, and rows of
            the second plus `offset`.
    """
    population = comparer.calibration.population
    one, its_rows = np.unique(rows, return_inverse=True)
    other, its_columns = np.unique(columns, return_inverse=True)
    mine = Held.of(first.embedding[one], one, strangers, population)
    theirs = Held.of(second.embedding[other], other + offset, strangers, population)
    parts = []
    for start in range(0, len(rows), _PAIRS):
        some = slice(start, start + _PAIRS)
        found = comparer.compare(
            first.embedding[rows[some]],
            first.code[rows[some]],
            second.embedding[columns[some]],
            second.code[columns[some]],
            mine=mine.beside(its_rows[some], columns[some] + offset),
            known=theirs.beside(its_columns[some], rows[some]),
        )
        parts.append(
            Matches(rows[some], columns[some], found.cosine, found.hamming, found.log_ratio, found.probability)
        )
    return Matches.joined(parts)


def _block(first: Vectors, second: Vectors, start: int, least: float, place: torch.device) -> tuple[Rows, Rows]:
    found: list[npt.NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
    with torch.inference_mode():
        block = torch.from_numpy(first[start : start + ROWS]).to(place)
        for column in range(0, len(second), COLUMNS):
            product = block @ torch.from_numpy(second[column : column + COLUMNS]).to(place).T
            # Most rows have no partner at all, which the greatest cosine of a row tells much faster.
            some = (product.amax(dim=1) >= least).nonzero()[:, 0]
            hits = (product[some] >= least).nonzero().cpu().numpy()
            found.append(np.stack([some.cpu().numpy()[hits[:, 0]] + start, hits[:, 1] + column], axis=1))
            if sum(len(hits) for hits in found) > MOST_PARTNERS * len(block):
                raise TooManyPairs(
                    f"More than {MOST_PARTNERS} images of the second collection are alike to an image of the first, "
                    "so the threshold separates nobody; raise it."
                )
    pairs = np.concatenate(found)
    rows, columns = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].T
    return rows, columns
