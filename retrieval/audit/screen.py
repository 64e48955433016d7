"""The first look of an audit: which images' verdicts could be anything but quiet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from retrieval.audit.gallery import AuditGallery, Rows
from retrieval.audit.pairs import Pairs
from retrieval.comparison import Comparer
from retrieval.normalisation import Strangers
from retrieval.verdict import Evidence, Person, Rates, VerdictKind, judge

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
    strangers: Strangers | None = None,
) -> Iterator[bool]:
    """Judge every image as if it had come last, with all images of everybody it is alike.

    Args:
        min_probability: in [0, 1]; less probable suspicions are no suspicion.
        strangers: images of the gallery by which likeness is measured; the population of the calibration by default.

    Yields:
        for each row in order whether anything speaks against it.
    """
    for row in range(len(gallery)):
        yield _is_suspect(gallery, neighbours, row, comparer, rates, min_probability, strangers)


def _is_suspect(
    gallery: AuditGallery,
    neighbours: Neighbours,
    row: int,
    comparer: Comparer,
    rates: Rates,
    min_probability: float,
    strangers: Strangers | None,
) -> bool:
    person = int(gallery.person[row])
    own = gallery.evidence_for(row, person) if person > 0 else gallery.instance[:0]
    alike = ((other, gallery.evidence_for(row, other)) for other in neighbours.persons(gallery, row))
    others = {other: rows for other, rows in alike if len(rows)}
    if not len(own) and not others:
        return False
    rows = np.concatenate([own, *others.values()])
    found = comparer.compare(
        gallery.embedding[row],
        gallery.code[row],
        gallery.embedding[rows],
        gallery.code[rows],
        strangers,
        person,
        gallery.person[rows],
    )
    parts = np.split(found.log_ratio, np.cumsum([len(own), *map(len, others.values())])[:-1])
    evidence = Evidence(
        own=Person(person, parts[0]) if len(own) else None,
        others=tuple(Person(number, part) for number, part in zip(others, parts[1:], strict=True)),
        other_persons=gallery.persons - 1,
    )
    return judge(evidence, rates, min_probability).kind not in QUIET
