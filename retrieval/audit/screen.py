"""The first look of an audit: which images' verdicts could be anything but quiet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.audit.gallery import AuditGallery, Rows
from retrieval.audit.pairs import Pairs
from retrieval.comparison import Comparer
from retrieval.headers import Headers
from retrieval.normalisation import Levels
from retrieval.verdict import Evidence, Person, Rates, VerdictKind, judge

# Images judged, and pairs compared, at once.
_ROWS, _PAIRS = 2048, 4096
QUIET = frozenset({VerdictKind.CONSISTENT, VerdictKind.FIRST_SEEN})


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The pairs of a gallery from either side: of row r, `other[starts[r]:starts[r + 1]]`, int64, ascending."""

    other: Rows
    starts: Rows

    @classmethod
    def of(cls, pairs: Pairs, images: int) -> Neighbours:
        """Those of a gallery of so many images."""
        one = np.concatenate([pairs.first, pairs.second]).astype(np.int64)
        other = np.concatenate([pairs.second, pairs.first]).astype(np.int64)
        order = np.lexsort((other, one))
        return cls(other[order], np.searchsorted(one[order], np.arange(images + 1)).astype(np.int64))

    def __getitem__(self, row: int) -> Rows:
        return self.other[self.starts[row] : self.starts[row + 1]]

    def persons(self, gallery: AuditGallery, row: int) -> list[int]:
        """The persons of the rows that a row is alike, ascending.

        An image without Patient ID is only compared with those that have one: there is no label that could be wrong.
        """
        alike = self[row]
        if not len(alike):
            return []
        labelled = gallery.person[row] > 0
        return [person for person in np.unique(gallery.person[alike]).tolist() if person > 0 or labelled]


def suspects(
    gallery: AuditGallery,
    neighbours: Neighbours,
    comparer: Comparer,
    rates: Rates,
    min_probability: float,
    known: Levels,
    headers: Headers,
) -> Iterator[bool]:
    """Judge every image as if it had come last, with all images of everybody it is alike.

    Args:
        min_probability: in [0, 1]; less probable suspicions are no suspicion.
        known: of each image of the gallery, see `AuditGallery.levels`.
        headers: of the persons of the gallery.

    Yields:
        for each row in order whether anything speaks against it.
    """
    for start in range(0, len(gallery), _ROWS):
        to_judge = [_ToJudge.of(gallery, neighbours, row) for row in range(start, min(start + _ROWS, len(gallery)))]
        ratios = _log_ratios(gallery, comparer, known, to_judge)
        ends = np.cumsum([len(one.compared) for one in to_judge])
        for one, ratio in zip(to_judge, np.split(ratios, ends[:-1]), strict=True):
            evidence = one.evidence(ratio, gallery.persons - 1, headers)
            yield evidence is not None and judge(evidence, rates, min_probability).kind not in QUIET


@dataclass(frozen=True, eq=False)
class _ToJudge:
    """An image and whom it is compared with: rows of its own person's images, and of others', by person."""

    row: int
    person: int
    own: Rows
    others: dict[int, Rows]

    @classmethod
    def of(cls, gallery: AuditGallery, neighbours: Neighbours, row: int) -> _ToJudge:
        person = int(gallery.person[row])
        own = gallery.evidence_for(row, person) if person > 0 else gallery.instance[:0]
        alike = ((other, gallery.evidence_for(row, other)) for other in neighbours.persons(gallery, row))
        return cls(row, person, own, {other: rows for other, rows in alike if len(rows)})

    @property
    def compared(self) -> Rows:
        """All rows that it is compared with, own first."""
        return np.concatenate([self.own, *self.others.values()]) if self.others else self.own

    def evidence(self, log_ratios: NDArray[np.float64], other_persons: int, headers: Headers) -> Evidence | None:
        """What its comparisons, in the order of `compared`, come to; None if there are none."""
        if not len(log_ratios):
            return None
        parts = np.split(log_ratios, np.cumsum([len(self.own), *map(len, self.others.values())])[:-1])
        return Evidence(
            own=Person(self.person, parts[0]) if len(self.own) else None,
            others=tuple(
                Person(number, part, headers.log_ratio(self.person, number))
                for number, part in zip(self.others, parts[1:], strict=True)
            ),
            other_persons=other_persons,
        )


def _log_ratios(
    gallery: AuditGallery, comparer: Comparer, known: Levels, to_judge: Sequence[_ToJudge]
) -> NDArray[np.float64]:
    """The log likelihood ratios of all comparisons of some images, one after the other, in blocks."""
    compared = [one.compared for one in to_judge]
    second = np.concatenate(compared)
    first = np.repeat([one.row for one in to_judge], [len(rows) for rows in compared])
    parts = [np.zeros(0)]
    for start in range(0, len(first), _PAIRS):
        one, other = first[start : start + _PAIRS], second[start : start + _PAIRS]
        found = comparer.compare(
            gallery.embedding[one],
            gallery.code[one],
            gallery.embedding[other],
            gallery.code[other],
            mine=known.chosen(one),
            known=known.chosen(other),
        )
        parts.append(found.log_ratio)
    return np.concatenate(parts)
