"""Kinds of patients that are unlike each other in a chest image, and how much each counts in what is fitted on both."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.data.manifest import ImageRow
from retrieval.encoder import Encodings
from retrieval.evaluation.encodings import Codes, Encoded

ADULTS, CHILDREN = "adults", "children"
# A hospital sees more adults; of the images to learn from, most are of children.
SHARES = {ADULTS: 0.75, CHILDREN: 0.25}
ADULT_AGE = 18.0
# A dataset of children from 1 to 5 years whose manifest tells no age.
_OF_CHILDREN = frozenset({"kermany"})


def kind_of(row: ImageRow) -> str:
    """Whether an image shows an adult or a child; an adult where nothing says."""
    if row.age is not None:
        return CHILDREN if row.age < ADULT_AGE else ADULTS
    return CHILDREN if row.dataset in _OF_CHILDREN else ADULTS


def by_kind(rows: Sequence[ImageRow], found: Encodings | Codes) -> dict[str, Encoded]:
    """Encoded images by kind of patient; a kind without images is left out."""
    kinds = [kind_of(row) for row in rows]
    places = {kind: [i for i, one in enumerate(kinds) if one == kind] for kind in SHARES}
    return {kind: ([rows[i] for i in at], found.chosen(at)) for kind, at in places.items() if at}
