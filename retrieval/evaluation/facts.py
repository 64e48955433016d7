"""Facts of a run that bear on how far its figures may be trusted."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval.data.manifest import ImageRow
from retrieval.evaluation.cohort import Cohort
from retrieval.evaluation.pairs import Pairs

ADULT = 18.0


@dataclass(frozen=True)
class Facts:
    """What stands behind the figures of one dataset; shares in [0, 1], NaN where the manifest does not say.

    Attributes:
        speaking: patients with two images or more: only they tell how often one person is recognised.
        largest_share: of the pairs of one person, how many come from the patient with most images.
        half_from: so few patients supply half of the pairs of one person.
        across_views: share of the pairs of one person that were taken in two views.
        days: median days between the two images of a pair of one person; dated: share of these pairs with known days.
        aged: share of images with known age; children: share of those under 18. sexed: share with known sex.
        close_strangers: pairs of two persons that score above nine of ten pairs of one: where labels may be wrong.
    """

    dataset: str
    images: int
    patients: int
    speaking: int
    same_pairs: int
    different_pairs: int
    largest_share: float
    half_from: int
    across_views: float
    days: float
    dated: float
    aged: float
    children: float
    sexed: float
    close_strangers: int


def facts_of(cohort: Cohort, pairs: Pairs) -> Facts:
    """Count what is known of a cohort and its pairs, in the order of `cohort.pairs`."""
    rows = cohort.rows
    i, j = (side[cohort.same] for side in cohort.pairs)
    supplied = np.sort(np.bincount(cohort.patients[i]))[::-1] if len(i) else np.zeros(1, dtype=np.int64)
    ages = np.array([row.age for row in rows if row.age is not None])
    apart = _days_apart(rows, i.tolist(), j.tolist())
    return Facts(
        dataset=cohort.name,
        images=len(rows),
        patients=int(cohort.patients.max()) + 1,
        speaking=int((np.bincount(cohort.patients) > 1).sum()),
        same_pairs=len(i),
        different_pairs=int((~cohort.same).sum()),
        largest_share=float(supplied[0] / supplied.sum()) if len(i) else float("nan"),
        half_from=int(np.searchsorted(np.cumsum(supplied), supplied.sum() / 2) + 1) if len(i) else 0,
        across_views=float((cohort.strata[i] != cohort.strata[j]).mean()) if len(i) else float("nan"),
        days=float(np.median(apart)) if apart else float("nan"),
        dated=len(apart) / len(i) if len(i) else float("nan"),
        aged=len(ages) / len(rows),
        children=float((ages < ADULT).mean()) if len(ages) else float("nan"),
        sexed=sum(bool(row.sex) for row in rows) / len(rows),
        close_strangers=_close_strangers(pairs),
    )


def learned_from(weights: Path) -> tuple[str, ...]:
    """Datasets whose other patients a network was trained on, as its card says; empty if it does not."""
    path = weights.with_suffix(".toml")
    recipe = tomllib.loads(path.read_text(encoding="utf-8")).get("recipe", {}) if path.is_file() else {}
    return tuple(str(name) for name in recipe.get("datasets", ()))


def _days_apart(rows: Sequence[ImageRow], first: Sequence[int], second: Sequence[int]) -> list[float]:
    found = []
    for i, j in zip(first, second, strict=True):
        a, b = rows[i].day, rows[j].day
        if a is not None and b is not None:
            found.append(abs(a - b))
    return found


def _close_strangers(pairs: Pairs) -> int:
    if not pairs.same.any():
        return 0
    return int((pairs.cosine[~pairs.same] > np.quantile(pairs.cosine[pairs.same], 0.9)).sum())
