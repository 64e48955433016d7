"""One method on one cohort: every figure that is reported, computed the same way for all methods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.evaluation.bootstrap import ROUNDS, Interval, interval, patient_draws, repeated, weighted_mean
from retrieval.evaluation.cohort import Cohort
from retrieval.evaluation.search import search
from retrieval.evaluation.swaps import Swaps
from retrieval.evaluation.verification import RankedPairs, measurable, rates

Floats = npt.NDArray[np.float64]

FALSE_POSITIVE_RATES = (1e-2, 1e-3, 1e-4)
FALSE_ALARMS = (0.01, 0.05)
LENGTHS = (5, 10, 15, 20, 25, 30)
CURVE_RATES: Floats = np.logspace(-5, 0, 251)


@dataclass(frozen=True)
class Figures:
    """One row of the table; rates in [0, 1], `_low` and `_high` span 95 % over patients, NaN where not measurable.

    AUC, true positive rates and EER give every patient one vote among the pairs of one person, `auc_by_pair` every
    pair. `auc_matched` takes only pairs with known sex and age, those of two persons if both agree. P@1, hits and swaps
    are over images, `precision_at_1_by_patient` over patients.
    """

    dataset: str
    method: str
    images: int
    patients: int
    queries: int
    same_pairs: int
    different_pairs: int
    auc: float
    auc_low: float
    auc_high: float
    auc_by_pair: float
    tpr_at_fpr_1e2: float
    tpr_at_fpr_1e2_low: float
    tpr_at_fpr_1e2_high: float
    tpr_at_fpr_1e3: float
    tpr_at_fpr_1e3_low: float
    tpr_at_fpr_1e3_high: float
    tpr_at_fpr_1e4: float
    eer: float
    matched_same_pairs: int
    matched_different_pairs: int
    auc_matched: float
    auc_matched_low: float
    auc_matched_high: float
    precision_at_1: float
    precision_at_1_low: float
    precision_at_1_high: float
    precision_at_1_by_patient: float
    hit_at_5: float
    hit_at_10: float
    hit_at_15: float
    hit_at_20: float
    hit_at_25: float
    hit_at_30: float
    map_at_r: float
    swaps_at_fa_1: float
    swaps_at_fa_1_low: float
    swaps_at_fa_1_high: float
    swaps_at_fa_5: float
    swaps_at_fa_5_low: float
    swaps_at_fa_5_high: float


@dataclass(frozen=True)
class Curves:
    """What the plots show of one method on one cohort.

    Attributes:
        true_positive_rate: float64 (251,), at `CURVE_RATES`; empty without pairs. NaN below the measurable rates.
        hits: float64 (30,), share of queries with a partner among the first 1 to 30.
    """

    dataset: str
    method: str
    true_positive_rate: Floats
    hits: Floats


def evaluate(
    method: str, similarity: npt.NDArray[np.floating], cohort: Cohort, rounds: int = ROUNDS
) -> tuple[Figures, Curves]:
    """Compute all figures of one method on one cohort.

    Args:
        method: name for the table.
        similarity: (n, n), higher is more alike, row: query; the diagonal is not looked at.
        cohort: whose n images these are.
        rounds: draws of patients for the intervals.
    """
    patients = cohort.patients
    scores = similarity[cohort.pairs]
    ranked = RankedPairs(scores, cohort.same, cohort.pair_patients)
    alike = cohort.matched
    matched = RankedPairs(
        scores[alike], cohort.same[alike], (cohort.pair_patients[0][alike], cohort.pair_patients[1][alike])
    )
    swaps = Swaps(similarity, patients, cohort.strata)
    found = search(similarity, patients)
    first = (found.first_hit == 1).astype(np.float64)
    once = np.ones(int(patients.max()) + 1)

    def headline(times: Floats) -> tuple[float, ...]:
        operating = ranked.operating(times)
        return (
            operating.auc(),
            *rates(operating, FALSE_POSITIVE_RATES[:2], ranked.different),
            matched.operating(times).auc(),
            weighted_mean(first, found.patient, times),
            *swaps.found(FALSE_ALARMS, times),
        )

    auc, tpr_2, tpr_3, auc_matched, precision, swaps_1, swaps_5 = headline(once)
    spans = [interval(column) for column in repeated(headline, patient_draws(len(once), rounds)).T]
    operating = ranked.operating()
    figures = Figures(
        dataset=cohort.name,
        method=method,
        images=len(patients),
        patients=len(once),
        queries=found.queries,
        same_pairs=ranked.same,
        different_pairs=ranked.different,
        auc_by_pair=ranked.operating(votes=False).auc(),
        tpr_at_fpr_1e4=rates(operating, FALSE_POSITIVE_RATES[2:], ranked.different)[0],
        eer=operating.equal_error_rate(),
        matched_same_pairs=matched.same,
        matched_different_pairs=matched.different,
        precision_at_1_by_patient=_by_patient(first, found.patient),
        **{f"hit_at_{length}": found.hit_at(length) for length in LENGTHS},
        map_at_r=found.map_at_r,
        **_spanned("auc", auc, spans[0]),
        **_spanned("tpr_at_fpr_1e2", tpr_2, spans[1]),
        **_spanned("tpr_at_fpr_1e3", tpr_3, spans[2]),
        **_spanned("auc_matched", auc_matched, spans[3]),
        **_spanned("precision_at_1", precision, spans[4]),
        **_spanned("swaps_at_fa_1", swaps_1, spans[5]),
        **_spanned("swaps_at_fa_5", swaps_5, spans[6]),
    )
    curve = operating.curve(CURVE_RATES)
    if len(curve):
        curve[[not measurable(rate, ranked.different, 1) for rate in CURVE_RATES]] = np.nan
    hits = np.array([found.hit_at(length) for length in range(1, LENGTHS[-1] + 1)])
    return figures, Curves(cohort.name, method, curve, hits)


def _by_patient(values: Floats, patients: npt.NDArray[np.int64]) -> float:
    if not len(values):
        return float("nan")
    _, own, images = np.unique(patients, return_inverse=True, return_counts=True)
    return float((np.bincount(own, values) / images).mean())


def _spanned(name: str, value: float, span: Interval) -> dict[str, float]:
    return {name: value, f"{name}_low": span.low, f"{name}_high": span.high}
