"""Images of public sets whose patient numbers can be believed."""

from __future__ import annotations

from collections.abc import Iterable

from retrieval.data.copies import without_copies
from retrieval.data.doubtful import without_doubtful
from retrieval.data.manifest import ImageRow


def trusted(rows: Iterable[ImageRow]) -> tuple[ImageRow, ...]:
    """Leave out patients that are known to be another patient, too, and numbers that cannot be taken for one person.

    Args:
        rows: of a whole manifest.
    """
    return without_doubtful(without_copies(rows))
