"""Fit a calibration on patients the network has not learned from, and measure it on patients it has not seen itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from retrieval.calibration import Calibration, Fusion
from retrieval.errors import CalibrationInvalid
from retrieval.evaluation.pairs import Pairs
from retrieval.normalisation import Population
from retrieval.training.tail import fit_tail

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Inverse strength of the regularisation, for standardised similarities and one unit of weight a patient: next to none.
# One that is felt makes the curve flat, and a flat curve outweighs no gallery: with 1.0, most misfiled images that look
# like somebody else were called consistent.
_STRENGTH = 100.0
# Parts of the patients, each left out in turn.
FOLDS = 5
_POINTS = 128
# Cosine of two images that are the same: no score can be higher than theirs.
_IDENTICAL = 1.0


class Curve(Protocol):
    """From scores float64 (n,) to natural-log likelihood ratios (n,)."""

    def __call__(self, scores: Floats, /) -> Floats: ...


@dataclass(frozen=True, eq=False)
class Sample:
    """Pairs of all kinds in one row: what a calibration is fitted on.

    Attributes:
        columns: float64 (m, c), similarities that grow with likeness: normalised cosine, minus the share of differing
            bits, logit of the verification head if there is one.
        same: bool (m,). weights: float64 (m,), half of them on either kind of pairs.
        positives: patients with several images. negatives: pairs of two persons.
    """

    columns: Floats
    same: Bools
    weights: Floats
    positives: int
    negatives: int

    @property
    def width(self) -> int:
        """How many similarities there are."""
        return int(self.columns.shape[1])


def fit_calibration(
    pairs: Mapping[str, Pairs],
    shares: Mapping[str, float],
    model_id: str,
    identity_bits: int,
    population: Population,
) -> Calibration:
    """Fuse the similarities, fit the curve from score to likelihood ratio, and extrapolate the tail of two persons.

    Each kind of patients has a share of the whole, each patient the same part of it among the pairs of one person. A
    similarity that speaks against identity beside the others is left out. The curve is the mean of a logistic one,
    which may have the wrong form, and an isotonic one, whose steps may be chance where there are few patients; on
    validation patients neither has clearly less log loss, and the mean has no more than the better one. The curve keeps
    to what was seen: against identity no more than one in all patients with pairs; in favour no more than the share of
    pairs of one person that are at least so alike, over that of pairs of two persons: a straight curve promises more
    where hardly anybody was seen. Where that bound falls, because there is hardly a pair of one person left, the curve
    stays as high as it was.

    Args:
        pairs: by kind, of held-out patients; all with logits of the verification head, or all without.
        shares: by kind, how much it counts, > 0.
        model_id: of the network.
        identity_bits: length of the identity half of the code.
        population: with which the cosines were normalised.

    Raises:
        CalibrationInvalid: there are too few pairs of either kind, or every similarity speaks against identity.

    Source: logistic calibration, Platt 1999; isotonic, Zadrozny and Elkan 2002, its steps joined, Oron and Flournoy
    2017, Statistics in Biopharmaceutical Research 9:258; the bound is the likelihood ratio of a positive test, Deeks
    and Altman 2004, BMJ 329:168.
    """
    sample = gather(pairs, shares, identity_bits)
    fusion, curve = _fit_curve(sample)
    scored = {kind: _columns(found, identity_bits) @ _weights(fusion, sample.width) for kind, found in pairs.items()}
    tail = fit_tail(pairs, scored, shares)
    reach = fusion.cosine * (_IDENTICAL - population.mean) / population.deviation
    if sample.width > 2:
        reach += fusion.verification * float(sample.columns[:, 2].max())
    values = np.concatenate(list(scored.values()))
    points = np.linspace(float(values.min()), max(reach, float(values.max())), _POINTS)
    everybody = sample.columns @ _weights(fusion, sample.width)
    alike = _share_above(points, everybody[sample.same], sample.weights[sample.same])
    ratios = np.minimum(curve(points), np.log(alike) - np.log(tail.share_above(points)))
    ratios = np.maximum.accumulate(np.maximum(ratios, -math.log(sample.positives)))
    return Calibration(
        model_id=model_id,
        identity_bits=identity_bits,
        fusion=fusion,
        scores=tuple(points.tolist()),
        log_ratios=tuple(ratios.tolist()),
        population=population,
        tail=tail,
        method="mean of logistic and isotonic",
        fitted_on={kind: _counts(found) for kind, found in pairs.items()},
    )


def gather(pairs: Mapping[str, Pairs], shares: Mapping[str, float], identity_bits: int) -> Sample:
    """Join the pairs of all kinds of patients.

    Raises:
        CalibrationInvalid: fewer than two patients have several images, or there are fewer than two pairs of two.
    """
    counted = [_counts(found) for found in pairs.values()]
    positives = sum(count["patients_with_pairs"] for count in counted)
    negatives = sum(count["negative_pairs"] for count in counted)
    if positives < 2 or negatives < 2:
        raise CalibrationInvalid("Calibration needs at least two patients with two images each.")
    same = np.concatenate([found.same for found in pairs.values()])
    weights = np.concatenate([shares[kind] * even_odds(found) for kind, found in pairs.items()])
    return Sample(
        columns=np.concatenate([_columns(found, identity_bits) for found in pairs.values()]),
        same=same,
        weights=_halves(weights, same),
        positives=positives,
        negatives=negatives,
    )


def even_odds(pairs: Pairs) -> Floats:
    """Weights (m,): half for the pairs of one person, half for those of two; in each half every patient, or every two
    patients, count the same, however many images they have."""
    patients = np.stack([pairs.first_patient, pairs.second_patient], axis=1).astype(np.int64)
    lower, upper = patients.min(axis=1), patients.max(axis=1)
    who = lower * (int(upper.max(initial=0)) + 1) + upper
    weights = np.zeros(len(pairs.same))
    for chosen in (pairs.same, ~pairs.same):
        weights[chosen] = 0.5 * _even(who[chosen])
    return weights


def folds_of(pairs: Pairs, folds: int = FOLDS) -> npt.NDArray[np.int64]:
    """To which part of the patients both patients of each pair belong: int64 (m, 2), from 0.

    Patients with several images are dealt out first, so that every part has its share of them.
    """
    patients = np.stack([pairs.first_patient, pairs.second_patient], axis=1)
    several = np.unique(pairs.first_patient[pairs.same])
    others = np.setdiff1d(patients, several)
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(several), rng.permutation(others)])
    part = np.zeros(int(patients.max(initial=0)) + 1, np.int64)
    part[order] = np.arange(len(order)) % folds
    return np.asarray(part[patients], dtype=np.int64)


def log_loss(ratios: Floats, same: Bools, weights: Floats) -> float:
    """Mean natural-log loss of log likelihood ratios (m,) at even odds; ln 2 = they know nothing."""
    return float(np.average(np.logaddexp(0.0, np.where(same, -ratios, ratios)), weights=weights))


def _fit_curve(sample: Sample) -> tuple[Fusion, Curve]:
    """The weights of the similarities, and the curve from their sum to log likelihood ratios."""
    weights = sample.weights * 2 * sample.positives
    intercept, coefficients = _fit_logistic(sample.columns, sample.same, weights)
    fusion = Fusion(coefficients[0], -coefficients[1] or 0.0, coefficients[2] if len(coefficients) > 2 else 0.0)
    stepped = _fit_isotonic(sample, sample.columns @ np.array(coefficients), weights)
    return fusion, lambda scores: 0.5 * (intercept + scores) + 0.5 * stepped(scores)


def _fit_isotonic(sample: Sample, scores: Floats, weights: Floats) -> Curve:
    """An isotonic curve through scores (m,), its steps joined."""
    steps = IsotonicRegression(out_of_bounds="clip").fit(scores, sample.same, sample_weight=weights)
    # A step leaps where the pairs do not: straight lines join the steps' centres.
    share, step = np.unique(steps.predict(scores), return_inverse=True)
    centres = np.bincount(step, weights * scores) / np.bincount(step, weights)
    # Shares of 0 and 1 are kept off by half a patient and half a pair of two persons (Laplace).
    share = np.clip(share, 0.5 / (sample.positives + 1), 1.0 - 0.5 / (sample.negatives + 1))

    def curve(wanted: Floats) -> Floats:
        found = np.interp(wanted, centres, share)
        return np.asarray(np.log(found) - np.log1p(-found), dtype=np.float64)

    return curve


def _fit_logistic(x: Floats, y: Bools, weights: Floats) -> tuple[float, list[float]]:
    """Intercept and a coefficient of at least 0 for each column."""
    spread = x.std(axis=0) + 1e-9
    scaled = x / spread
    used = list(range(x.shape[1]))
    while used:
        model = LogisticRegression(C=_STRENGTH, max_iter=1000)
        model.fit(scaled[:, used], y, sample_weight=weights)
        worst = int(np.argmin(model.coef_[0]))
        if model.coef_[0][worst] >= 0:
            found = dict(zip(used, model.coef_[0] / spread[used], strict=True))
            return float(model.intercept_[0]), [float(found.get(column, 0.0)) for column in range(x.shape[1])]
        del used[worst]
    raise CalibrationInvalid("More similar images were less likely of one person; the network cannot be calibrated.")


def _columns(pairs: Pairs, identity_bits: int) -> Floats:
    columns: list[npt.NDArray[np.floating]] = [pairs.likeness, -pairs.hamming / identity_bits]
    if pairs.verification is not None:
        columns.append(pairs.verification)
    return np.stack(columns, axis=1).astype(np.float64)


def _weights(fusion: Fusion, width: int) -> Floats:
    return np.array([fusion.cosine, -fusion.hamming, fusion.verification])[:width]


def _share_above(points: Floats, values: Floats, weights: Floats) -> Floats:
    """Share of the weight (n,) of values (n,) at or above each point: float64 (k,), at least that of one value."""
    order = np.argsort(values, kind="stable")
    above = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0) / weights.sum()
    least = float(weights.min() / weights.sum())
    return np.asarray(np.maximum(above[np.searchsorted(values[order], points, side="left")], least), dtype=np.float64)


def _halves(weights: Floats, same: Bools) -> Floats:
    """The same weights, half of them on pairs of one person and half on those of two."""
    found = weights.copy()
    for kind in (same, ~same):
        if found[kind].any():
            found[kind] *= 0.5 / found[kind].sum()
    return found


def _even(who: npt.NDArray[np.int64]) -> Floats:
    """Weights (n,) that sum to one, the same for every number."""
    if not len(who):
        return np.zeros(0)
    _, numbers, counts = np.unique(who, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[numbers] * len(counts)), dtype=np.float64)


def _counts(pairs: Pairs) -> dict[str, int]:
    return {
        "patients_with_pairs": len(np.unique(pairs.first_patient[pairs.same])),
        "positive_pairs": int(pairs.same.sum()),
        "negative_pairs": int((~pairs.same).sum()),
    }
