"""A whole gallery in arrays, as an audit looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import AuditImpossible
from retrieval.normalisation import Levels, Population, Strangers, chosen, levels

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AuditGallery:
    """All images of a gallery, by id.

    Attributes:
        instance: int64 (n,), ids, ascending.
        person, study: int64 (n,), whom and which study it is filed under; a negative person stands for itself alone.
        exposure: int64 (n,), the same number for images with the same pixels.
        trusted: bool (n,), whether its label may speak for and against others.
        embedding: float32 (n, d), of unit length. code: uint8 (n, bits/8).
    """

    instance: Rows
    person: Rows
    study: Rows
    exposure: Rows
    trusted: NDArray[np.bool_]
    embedding: NDArray[np.float32]
    code: NDArray[np.uint8]

    def __post_init__(self) -> None:
        parts = (self.person, self.study, self.exposure, self.trusted, self.embedding, self.code)
        if any(len(part) != len(self.instance) for part in parts):
            raise AuditImpossible("The parts of a gallery are of different length.")
        if np.any(np.diff(self.instance) <= 0):
            raise AuditImpossible("The images of a gallery must be sorted by id, each once.")

    def __len__(self) -> int:
        return len(self.instance)

    @cached_property
    def persons(self) -> int:
        """How many persons there are."""
        return len(self._bounds[0])

    @cached_property
    def strangers(self) -> Strangers:
        """One image each of some persons, by which likeness is measured; none without Patient ID."""
        labelled = np.flatnonzero(self.person > 0)
        rows = labelled[chosen(self.person[labelled], self.instance[labelled])]
        return Strangers(self.embedding[rows], self.person[rows])

    def levels(self, population: Population) -> Levels:
        """How alike each image is to `strangers`."""
        return levels(self.embedding, self.person, self.strangers, population)

    @cached_property
    def shown_before(self) -> NDArray[np.bool_]:
        """Which rows, bool (n,), show pixels that an earlier row shows."""
        later = np.ones(len(self), np.bool_)
        later[np.unique(self.exposure, return_index=True)[1]] = False
        return later

    def of_person(self, person: int) -> Rows:
        """Rows of a person's images, int64 (m,), ascending; none of an unknown person."""
        order, (numbers, starts) = self._order, self._bounds
        at = int(np.searchsorted(numbers, person))
        if at == len(numbers) or numbers[at] != person:
            return order[:0]
        return order[starts[at] : starts[at + 1]]

    def evidence_for(self, row: int, person: int) -> Rows:
        """Rows int64 (m,) of a person's images that may speak about the image in `row`, ascending.

        Not the image itself, nor others of its study, which share whatever happened to its label, nor the same exposure
        filed again, nor images whose own label is in doubt.
        """
        return self.evidence_for_each(np.array([row]), np.array([person]))[1]

    def evidence_for_each(self, rows: Rows, persons: Rows) -> tuple[Rows, Rows]:
        """`evidence_for` many images, each with one person: int64 (n,) and int64 (n,).

        Returns:
            positions int64 (m,) of the n, ascending, and rows int64 (m,) that may speak about the image there.
        """
        numbers, starts = self._bounds
        place = np.searchsorted(numbers, persons).clip(max=len(numbers) - 1)
        images = np.where(numbers[place] == persons, starts[place + 1] - starts[place], 0)
        which = np.repeat(np.arange(len(rows)), images)
        nth = np.arange(len(which)) - np.repeat(np.cumsum(images) - images, images)
        found, asked = self._order[starts[place][which] + nth], rows[which]
        fit = self.trusted[found] & (self.study[found] != self.study[asked])
        fit &= self.exposure[found] != self.exposure[asked]
        return which[fit], found[fit]

    @cached_property
    def _order(self) -> Rows:
        return np.argsort(self.person, kind="stable")

    @cached_property
    def _bounds(self) -> tuple[Rows, Rows]:
        numbers, starts = np.unique(self.person[self._order], return_index=True)
        return numbers, np.append(starts, len(self.person))
