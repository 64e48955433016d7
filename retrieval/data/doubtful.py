"""Patient numbers of public sets that cannot be taken for one person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# Children with pneumonia are numbered as persons (person1689_bacteria), healthy ones by file names as programs give to
# images that they export (IM-0608-0001-0002). Some images under one such name look alike as those of one person do,
# more look like strangers' to whatever compares them, see `benchmarks.doubtful`.
_DOUBTFUL = ("kermany:IM-", "kermany:NORMAL2-IM-")


def doubtful(patients: Iterable[str]) -> frozenset[str]:
    """Those of these patients who have several images under a number that cannot be taken for one person.

    Args:
        patients: of every image of a whole manifest, a patient as often as there are images.
    """
    return frozenset(one for one, images in Counter(patients).items() if images > 1 and one.startswith(_DOUBTFUL))
