"""The images that are compared with each other, and what is known of each but its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from retrieval.data.manifest import ImageRow
from retrieval.evaluation.pairs import fair_pairs, numbered

Numbers = npt.NDArray[np.int64]

TOGETHER = "all"
LATERAL = "L"
AGE_TOLERANCE = 3.0


@dataclass(frozen=True)
class Cohort:
    """n images that make one gallery: those of one dataset, or of all together.

    Attributes:
        name: of the dataset, or `all`.
        rows: of the manifest, n.
        positions: int64 (n,), where these images stand in the arrays of the whole evaluation.
    """

    name: str
    rows: tuple[ImageRow, ...]
    positions: Numbers

    @cached_property
    def patients(self) -> Numbers:
        """Patient numbers int64 (n,), from 0 without gaps."""
        return numbered([row.patient for row in self.rows])

    @cached_property
    def strata(self) -> Numbers:
        """Numbers int64 (n,), equal for images of one dataset and view: only these make pairs of two persons."""
        return numbered(self.stratum_names)

    @cached_property
    def stratum_names(self) -> tuple[str, ...]:
        """Dataset and view of each image, n."""
        return tuple(f"{row.dataset}, {row.view}" for row in self.rows)

    @cached_property
    def pairs(self) -> tuple[Numbers, Numbers]:
        """Positions (m,) and (m,) of all fair pairs within the cohort, i < j."""
        return fair_pairs(self.patients, self.strata)

    @cached_property
    def same(self) -> npt.NDArray[np.bool_]:
        """Of each pair whether it shows one person, bool (m,)."""
        return np.asarray(self.patients[self.pairs[0]] == self.patients[self.pairs[1]], dtype=np.bool_)

    @cached_property
    def pair_patients(self) -> tuple[Numbers, Numbers]:
        """Patient numbers (m,) and (m,) of each pair."""
        return self.patients[self.pairs[0]], self.patients[self.pairs[1]]

    @cached_property
    def matched(self) -> npt.NDArray[np.bool_]:
        """Pairs bool (m,) of images with known sex and age; those of two persons only if sex and age (± 3 years) agree.

        Source: Packhäuser et al. 2022 drew pairs at random, so that sex and age alone told most of them apart.
        """
        sex = numbered([row.sex for row in self.rows])
        age = np.array([np.nan if row.age is None else row.age for row in self.rows], dtype=np.float64)
        known = np.isfinite(age) & np.array([bool(row.sex) for row in self.rows], dtype=np.bool_)
        i, j = self.pairs
        alike = (sex[i] == sex[j]) & (np.abs(age[i] - age[j]) <= AGE_TOLERANCE)
        return np.asarray(known[i] & known[j] & (self.same | alike), dtype=np.bool_)

    def chosen(self, keep: npt.NDArray[np.bool_]) -> Cohort:
        """Only the images for which `keep`, bool over all images of the evaluation, holds."""
        mine = np.flatnonzero(keep[self.positions])
        return Cohort(self.name, tuple(self.rows[i] for i in mine), self.positions[mine])


def cohorts(rows: Sequence[ImageRow], positions: Sequence[int] | None = None) -> tuple[Cohort, ...]:
    """One cohort a dataset, by name, and one of all images together if there is more than one dataset.

    Args:
        rows: of all images of the evaluation. positions: of those to take, in order; all if None.
    """
    taken = range(len(rows)) if positions is None else positions
    names = sorted({rows[i].dataset for i in taken})
    parts = {name: [i for i in taken if rows[i].dataset == name] for name in names}
    if len(names) > 1:
        parts[TOGETHER] = list(taken)
    return tuple(
        Cohort(name, tuple(rows[i] for i in mine), np.array(mine, dtype=np.int64)) for name, mine in parts.items()
    )
