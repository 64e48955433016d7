"""The first look of an audit: which images' verdicts could be anything but quiet, and with whom to compare them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.audit.gallery import AuditGallery, Rows
from retrieval.audit.pairs import Pairs
from retrieval.comparison import Comparer
from retrieval.verdict import Evidence, Person, Rates, Verdict, VerdictKind, judge

QUIET = frozenset({VerdictKind.CONSISTENT, VerdictKind.FIRST_SEEN})


@dataclass(frozen=True)
class Suspect:
    """An image to look at closely: its row, and the persons it is alike, in ascending order."""

    row: int
    persons: tuple[int, ...]
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The pairs of a gallery from either side."""

    second: Rows
    starts: Rows

    @classmethod
    def of(cls, pairs: Pairs, images: int) -> Neighbours:
        """Those of a gallery of so many images."""
        one = np.concatenate([pairs.first, pairs.second]).astype(np.int64)
        other = np.concatenate([pairs.second, pairs.first]).astype(np.int64)
        order = np.lexsort((other, one))
        starts = np.searchsorted(one[order], np.arange(images + 1))
        return cls(other[order], starts)

    def __getitem__(self, row: int) -> Rows:
        return self.second[self.starts[row] : self.starts[row + 1]]


def suspects(
    gallery: AuditGallery, pairs: Pairs, comparer: Comparer, rates: Rates, min_probability: float
) -> Iterator[Suspect | None]:
    """Judge every image as if it had come last, with all images of everybody it is alike.

    Args:
        pairs: of images of different persons, see `PairScan`.
        min_probability: in [0, 1]; less probable suspicions are no suspicion.

    Yields:
        for each row in order the suspicion against it, or None.
    """
    neighbours = Neighbours.of(pairs, len(gallery))
    for row in range(len(gallery)):
        yield _judged(gallery, neighbours[row], row, comparer, rates, min_probability)


def _judged(
    gallery: AuditGallery, alike: Rows, row: int, comparer: Comparer, rates: Rates, min_probability: float
) -> Suspect | None:
    person = int(gallery.person[row])
    own = gallery.evidence_for(row, person) if person > 0 else alike[:0]
    # An image without Patient ID is only compared with those that have one: there is no label that could be wrong.
    persons = [p for p in np.unique(gallery.person[alike]).tolist() if p > 0 or person > 0]
    others = {p: rows for p in persons if len(rows := gallery.evidence_for(row, p))}
    if not len(own) and not others:
        return None
    rows = np.concatenate([own, *others.values()])
    ratios = comparer.compare(
        gallery.embedding[row], gallery.code[row], gallery.embedding[rows], gallery.code[rows]
    ).log_ratio
    parts = np.split(ratios, np.cumsum([len(own), *map(len, others.values())])[:-1])
    evidence = Evidence(
        own=Person(person, parts[0]) if len(own) else None,
        others=tuple(Person(number, part) for number, part in zip(others, parts[1:], strict=True)),
        other_persons=gallery.persons - 1,
    )
    verdict = judge(evidence, rates, min_probability)
    return None if verdict.kind in QUIET else Suspect(row, tuple(others), verdict)


def first_of_exposure(exposure: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows, bool (n,), show pixels int64 (n,) that no earlier row shows."""
    first = np.zeros(len(exposure), np.bool_)
    first[np.unique(exposure, return_index=True)[1]] = True
    return first
