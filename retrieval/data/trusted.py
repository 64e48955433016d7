"""Images of public sets whose patient numbers can be believed."""

from __future__ import annotations

from collections.abc import Iterable

from retrieval.data.copies import copied
from retrieval.data.doubtful import doubtful
from retrieval.data.manifest import ImageRow


def untrusted(patients: Iterable[str]) -> frozenset[str]:
    """Those of these patients who are known to be another one, too, or whose number cannot be taken for one person.

    Args:
        patients: of every image of a whole manifest, a patient as often as there are images.
    """
    listed = tuple(patients)
    return copied(frozenset(listed)) | doubtful(listed)


def trusted(rows: Iterable[ImageRow]) -> tuple[ImageRow, ...]:
    """Leave out the images of `untrusted` patients.

    Args:
        rows: of a whole manifest.
    """
    listed = tuple(rows)
    out = untrusted(row.patient for row in listed)
    return tuple(row for row in listed if row.patient not in out)
