"""Rows of a manifest and cohorts, made up for the evaluation's tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from retrieval.data.manifest import ImageRow, Split
from retrieval.evaluation.cohort import Cohort, cohorts


def made_rows(patients: Sequence[str], **columns: str | Sequence[object]) -> tuple[ImageRow, ...]:
    """One image for each entry of `patients`; other columns by name: one word for all images, or a value for each."""
    made = []
    for i, patient in enumerate(patients):
        usual = {"dataset": "nih", "view": "PA", "finding": "", "split": Split.TEST}
        own = {name: given if isinstance(given, str) else given[i] for name, given in columns.items()}
        cells: dict[str, Any] = usual | own
        made.append(ImageRow(path=Path(f"{i}.png"), file=f"{cells['dataset']}-{i}.png", patient=patient, **cells))
    return tuple(made)


@pytest.fixture
def rows() -> Callable[..., tuple[ImageRow, ...]]:
    return made_rows


@pytest.fixture
def cohort() -> Callable[..., Cohort]:
    """The cohort of rows as `made_rows` makes them, of one dataset."""

    def make(patients: Sequence[str], **columns: Sequence[object]) -> Cohort:
        (only,) = cohorts(made_rows(patients, **columns))
        return only

    return make
