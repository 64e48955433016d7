"""Patient numbers of public sets that do not stand for one person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from retrieval.data.manifest import ImageRow

# Children with pneumonia are numbered as persons (person1689_bacteria); healthy ones have the file names of an export,
# whose count begins again with each export: images of other children come to lie under one number. No method finds one
# person under these numbers, trained or not, see `benchmarks.doubtful`.
_DOUBTFUL = ("kermany:IM-", "kermany:NORMAL2-IM-")


def doubtful(rows: Iterable[ImageRow]) -> frozenset[str]:
    """Patients with several images whose number does not stand for one person.

    Args:
        rows: of a whole manifest.
    """
    images = Counter(row.patient for row in rows)
    return frozenset(patient for patient, count in images.items() if count > 1 and patient.startswith(_DOUBTFUL))


def without_doubtful(rows: Iterable[ImageRow]) -> tuple[ImageRow, ...]:
    """Leave out the images of these patients: whether two of them show one person is not known.

    Args:
        rows: of a whole manifest.
    """
    listed = tuple(rows)
    out = doubtful(listed)
    return tuple(row for row in listed if row.patient not in out)
