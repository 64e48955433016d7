"""Is identity read off burned-in letters, borders or scanner contrast? The same figures when these are changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.data.manifest import ImageRow
from retrieval.evaluation.bootstrap import ROUNDS, interval, patient_draws, repeated, weighted_mean
from retrieval.evaluation.changes import CHANGES, Change, changed
from retrieval.evaluation.cohort import Cohort
from retrieval.evaluation.pairs import numbered
from retrieval.evaluation.search import search
from retrieval.evaluation.verification import RankedPairs

Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]
Embed = Callable[[Images, str], npt.NDArray[np.float32]]

IMAGES_PER_DATASET = 200
_PAIRED_SHARE = 0.6
BOTH, ONE = "both images", "one image of each pair"


@dataclass(frozen=True)
class ShortcutFigures:
    """Recognition under one change, and how far that is from the same images unchanged; 95 % over patients.

    `changed` says whether both images of a pair are changed (each by its own random numbers) or the query alone.
    """

    dataset: str
    change: str
    title: str
    keeps_person: bool
    changed: str
    images: int
    patients: int
    auc: float
    auc_change: float
    auc_change_low: float
    auc_change_high: float
    precision_at_1: float
    precision_at_1_change: float
    precision_at_1_change_low: float
    precision_at_1_change_high: float


def sample(rows: Sequence[ImageRow], limit: int = IMAGES_PER_DATASET, seed: int = 0) -> list[int]:
    """Positions, in order, of whole patients of each dataset, about `limit` images; six of ten from patients with more.

    The tests run once for each change, so a few hundred images must do; patients with one image are only there to be
    confused with.
    """
    patients = numbered([row.patient for row in rows])
    images = np.bincount(patients)
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for dataset in sorted({row.dataset for row in rows}):
        mine = np.array([row.dataset == dataset for row in rows])
        order = rng.permutation(np.unique(patients[mine]))
        paired, single = order[images[order] > 1], order[images[order] == 1]
        paired = paired[np.cumsum(images[paired]) <= max(_PAIRED_SHARE * limit, limit - len(single))]
        single = single[: max(0, limit - int(images[paired].sum()))]
        chosen += np.flatnonzero(mine & np.isin(patients, np.concatenate([paired, single]))).tolist()
    return sorted(chosen)


def shortcut_figures(
    images: Images, cohorts: Sequence[Cohort], embed: Embed, rounds: int = ROUNDS
) -> list[ShortcutFigures]:
    """Recognise persons under every change.

    Args:
        images: uint8 (n, h, w), prepared.
        cohorts: of these n images.
        embed: images uint8 (n, h, w) and a name for the progress bar to L2-normalised embeddings float32 (n, d).
        rounds: draws of patients for the intervals.
    """
    plain = embed(images, "unchanged")
    before = {cohort.name: _figures(plain @ plain.T, cohort, rounds) for cohort in cohorts}
    found = []
    for change in CHANGES:
        other = embed(changed(images, change), change.title)
        ways = {BOTH: other @ other.T}
        if change.keeps_person:
            ways[ONE] = other @ plain.T
        for way, similarity in ways.items():
            for cohort in cohorts:
                after = _figures(similarity, cohort, rounds)
                found.append(_compared(change, way, cohort, before[cohort.name], after))
    return found


def _figures(similarity: npt.NDArray[np.floating], cohort: Cohort, rounds: int) -> Floats:
    """AUC and P@1: float64 (1 + rounds, 2), first as they are, then for each draw of patients."""
    similarity = similarity[np.ix_(cohort.positions, cohort.positions)]
    ranked = RankedPairs(similarity[cohort.pairs], cohort.same, cohort.pair_patients)
    found = search(similarity, cohort.patients)
    first = (found.first_hit == 1).astype(np.float64)

    def both(times: Floats) -> tuple[float, ...]:
        return ranked.operating(times).auc(), weighted_mean(first, found.patient, times)

    patients = int(cohort.patients.max()) + 1
    return np.concatenate([[both(np.ones(patients))], repeated(both, patient_draws(patients, rounds))])


def _compared(change: Change, way: str, cohort: Cohort, before: Floats, after: Floats) -> ShortcutFigures:
    auc, precision = (interval(column) for column in (after - before)[1:].T)
    return ShortcutFigures(
        dataset=cohort.name,
        change=change.name,
        title=change.title,
        keeps_person=change.keeps_person,
        changed=way,
        images=len(cohort.rows),
        patients=int(cohort.patients.max()) + 1,
        auc=float(after[0, 0]),
        auc_change=float(after[0, 0] - before[0, 0]),
        auc_change_low=auc.low,
        auc_change_high=auc.high,
        precision_at_1=float(after[0, 1]),
        precision_at_1_change=float(after[0, 1] - before[0, 1]),
        precision_at_1_change_low=precision.low,
        precision_at_1_change_high=precision.high,
    )
