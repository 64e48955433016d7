"""Pairs of images whose records name one birth date: of these, two records of one person need be less alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from retrieval.audit.gallery import AuditGallery, Rows
from retrieval.headers import Headers

# Images of one birth date; one that more of them share stands where the true one is not known, and tells nothing.
MOST_IMAGES = 1000


def born_together(gallery: AuditGallery, headers: Headers) -> Iterator[tuple[Rows, Rows]]:
    """All pairs of images of two persons who were born on one day by their headers.

    Yields:
        rows int64 (m,) and int64 (m,) of the gallery, first < second; each pair once, no more at a time than images.
    """
    numbers, which = np.unique(gallery.person, return_inverse=True)
    dates = np.array([headers.of(number).birth_date for number in numbers.tolist()], dtype=str)
    day = np.unique(dates, return_inverse=True)[1][which]
    counts = np.bincount(day, minlength=1)
    rows = np.flatnonzero((dates[which] != "") & (counts[day] <= MOST_IMAGES))
    rows = rows[np.argsort(day[rows], kind="stable")]
    for apart in range(1, MOST_IMAGES):
        first, second = rows[:-apart], rows[apart:]
        together = day[first] == day[second]
        if not together.any():
            return
        wanted = together & (gallery.person[first] != gallery.person[second])
        yield first[wanted], second[wanted]
