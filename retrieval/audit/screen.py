"""The first look of an audit: which images' verdicts could be anything but quiet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.audit.gallery import AuditGallery, Rows
from retrieval.audit.pairs import Pairs
from retrieval.comparison import Comparer
from retrieval.headers import Headers
from retrieval.normalisation import Levels
from retrieval.verdict import Evidence, Person, Rates, VerdictKind, judge, together

# Images judged at once, and pairs compared at once: their embeddings stay in the processor's cache.
_ROWS, _PAIRS = 2048, 512
Floats = NDArray[np.float64]
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
        stop = min(start + _ROWS, len(gallery))
        block = _Compared.of(gallery, neighbours, comparer, known, headers, start, stop)
        for row in range(start, stop):
            yield block.is_loud(row, gallery.persons - 1, rates, min_probability)


@dataclass(frozen=True, eq=False)
class _Compared:
    """Some consecutive rows, each compared with every person it is to be compared with, row after row, own first.

    Attributes:
        start: the first row. own: int64 (r,), its person, by row. first: int64 (r + 1,), where a row's persons begin.
        person: int64 (p,). ratio: float64 (p,), what a person's images say together. header: float64 (p,), what its
            header says. images: int64 (p + 1,), where a person's images begin. of_image: float64 (m,), what they say.
    """

    start: int
    own: Rows
    first: Rows
    person: Rows
    ratio: Floats
    header: Floats
    images: Rows
    of_image: Floats

    @classmethod
    def of(
        cls,
        gallery: AuditGallery,
        neighbours: Neighbours,
        comparer: Comparer,
        known: Levels,
        headers: Headers,
        start: int,
        stop: int,
    ) -> _Compared:
        """Compare the rows from `start` to `stop` with their own persons and those they are alike."""
        rows, persons = _to_compare(gallery, neighbours, start, stop)
        which, second = gallery.evidence_for_each(rows, persons)
        of_image = _log_ratios(gallery, comparer, known, rows[which], second)
        some, images = np.unique(which, return_index=True)
        rows, persons = rows[some], persons[some]
        return cls(
            start,
            gallery.person[start:stop],
            np.searchsorted(rows, np.arange(start, stop + 1)),
            persons,
            together(of_image, images) if len(images) else of_image,
            headers.log_ratios(gallery.person[rows], persons),
            np.append(images, len(of_image)),
            of_image,
        )

    def is_loud(self, row: int, other_persons: int, rates: Rates, min_probability: float) -> bool:
        """Whether anything speaks against a row.

        As if all others were one first: of a suspicion that many share none has more than all together, and so where
        these are quiet each is.
        """
        place = row - self.start
        begin, end = int(self.first[place]), int(self.first[place + 1])
        if begin == end:
            return False
        number = int(self.own[place])
        has_own = bool(self.person[begin] == number)
        others = range(begin + has_own, end)

        def loud(own: Person | None, found: tuple[Person, ...]) -> bool:
            return judge(Evidence(own, found, other_persons), rates, min_probability).kind not in QUIET

        own = Person(number, self.ratio[begin : begin + 1]) if has_own else None
        if not loud(own, self._as_one(others, ~number)):
            return False
        return loud(self._person(begin) if has_own else None, tuple(map(self._person, others)))

    def _person(self, at: int) -> Person:
        images = self.of_image[self.images[at] : self.images[at + 1]]
        return Person(int(self.person[at]), images, float(self.header[at]))

    def _as_one(self, others: range, number: int) -> tuple[Person, ...]:
        if not others:
            return ()
        ratio, header = (values[others.start : others.stop] for values in (self.ratio, self.header))
        total = float(np.logaddexp.reduce(ratio))
        return (Person(number, np.array([total]), float(np.logaddexp.reduce(ratio + header)) - total),)


def _to_compare(gallery: AuditGallery, neighbours: Neighbours, start: int, stop: int) -> tuple[Rows, Rows]:
    """Rows int64 (n,) and persons int64 (n,) they are to be compared with, row after row: own first, then others."""
    rows = np.arange(start, stop)
    labelled = rows[gallery.person[rows] > 0]
    alike = np.repeat(rows, np.diff(neighbours.starts[start : stop + 1]))
    persons = gallery.person[neighbours.other[neighbours.starts[start] : neighbours.starts[stop]]]
    wanted = (persons > 0) | (gallery.person[alike] > 0)
    alike, persons = alike[wanted], persons[wanted]
    is_other = np.append(np.zeros(len(labelled), np.bool_), np.ones(len(alike), np.bool_))
    alike, persons = np.append(labelled, alike), np.append(gallery.person[labelled], persons)
    order = np.lexsort((persons, is_other, alike))
    alike, persons = alike[order], persons[order]
    again = (np.diff(alike, prepend=-1) == 0) & (np.diff(persons, prepend=0) == 0)
    return alike[~again], persons[~again]


def _log_ratios(gallery: AuditGallery, comparer: Comparer, known: Levels, first: Rows, second: Rows) -> Floats:
    """The log likelihood ratios float64 (n,) of pairs of rows, in blocks."""
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
