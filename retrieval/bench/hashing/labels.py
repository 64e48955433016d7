"""Findings as the hashing methods learn them: which images of the training split share one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.errors import ManifestInvalid
from retrieval.evaluation.cohort import LATERAL
from retrieval.evaluation.findings import finding_sets
from retrieval.evaluation.selection import drawn


@dataclass(frozen=True, eq=False)
class Labels:
    """Findings of n images.

    Attributes:
        names: C findings, sorted.
        table: float32 (n, C), 1 present, 0 absent, NaN where the image's dataset does not use the word: an image of a
            dataset that says `pneumonia` may show what another one calls `pneumonia_virus`.
    """

    names: tuple[str, ...]
    table: npt.NDArray[np.float32]


def labels_of(rows: Sequence[ImageRow]) -> Labels:
    """Labels of images with known findings."""
    found = finding_sets([row.finding for row in rows])
    words = {row.dataset: set[str]() for row in rows}
    for row, mine in zip(rows, found, strict=True):
        words[row.dataset] |= mine
    names = sorted(set().union(*words.values()))
    table = np.full((len(rows), len(names)), np.nan, dtype=np.float32)
    for place, (row, mine) in enumerate(zip(rows, found, strict=True)):
        for column, name in enumerate(names):
            if name in words[row.dataset]:
                table[place, column] = float(name in mine)
    return Labels(tuple(names), table)


def sharing(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which images share a finding, as the search by findings counts them, and which have different ones.

    Args:
        labels: float (n, C), 1, 0 or NaN (unknown).

    Returns:
        similar, dissimilar: bool (n, n). Similar: a finding is present in both. Dissimilar: none is, and one that is
        known of both is present in one alone. Neither, where too little is known.
    """
    known, present = ~labels.isnan(), labels.nan_to_num(0.0) > 0
    similar = (present[:, None] & present[None, :]).any(dim=2)
    differing = known[:, None] & known[None, :] & (present[:, None] != present[None, :])
    return similar, differing.any(dim=2) & ~similar


def learnable_findings(manifest: Path, datasets: Sequence[str]) -> tuple[str, ...]:
    """Those of the data sets, or of all if none is named, in whose training split two findings or more are known.

    Raises:
        ManifestInvalid: there is none.
    """
    kinds: dict[str, set[str]] = {}
    for row in training_rows(manifest, datasets):
        kinds.setdefault(row.dataset, set()).update(*finding_sets([row.finding]))
    found = tuple(sorted(name for name, mine in kinds.items() if len(mine) > 1))
    if not found:
        raise ManifestInvalid(
            f"No findings can be learned from {manifest}: no data set has images with two different findings in its "
            "training split. Fill the column finding, or leave the group p4 out."
        )
    return found


def training_rows(manifest: Path, datasets: Sequence[str], limit: int | None = None) -> list[ImageRow]:
    """Frontal images with known findings of the training split.

    Args:
        datasets: whose; all if empty. limit: images at most of each dataset, whole patients drawn at random.
    """
    rows = [
        row
        for row in read_manifest(manifest, datasets or None)
        if row.split is Split.TRAIN and row.view != LATERAL and finding_sets([row.finding])[0]
    ]
    if limit is None:
        return rows
    names = sorted({row.dataset for row in rows})
    mine = ([i for i, row in enumerate(rows) if row.dataset == name] for name in names)
    return [rows[i] for positions in mine for i in drawn(rows, positions, limit)]
