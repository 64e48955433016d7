"""Patients of public sets whose pictures another patient number holds, too: they would be called strangers."""

from __future__ import annotations

import csv
import functools
from collections.abc import Collection, Iterable
from importlib import resources

from retrieval.data.manifest import ImageRow


def without_copies(rows: Iterable[ImageRow]) -> tuple[ImageRow, ...]:
    """Leave out the images of patients whose pictures are those of another patient, in whatever split that one is.

    In a measurement they would count as errors what is right; and a patient of a test split may be one of a training
    split under another number.

    Args:
        rows: of a whole manifest.
    """
    listed = tuple(rows)
    out = copied({row.patient for row in listed})
    return tuple(row for row in listed if row.patient not in out)


def copied(patients: Collection[str]) -> frozenset[str]:
    """Those of these patients whose pictures others among them hold, too."""
    return frozenset(one for one, other in _known().items() if one in patients and other in patients)


@functools.cache
def _known() -> dict[str, str]:
    """By patient the other one; `benchmarks.copies` finds them."""
    table = resources.files("retrieval.data").joinpath("copies.csv").read_text(encoding="utf-8")
    return {row["patient"]: row["same_person_as"] for row in csv.DictReader(table.splitlines())}
