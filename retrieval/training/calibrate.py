"""Fit a calibration on patients the network has not learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from retrieval.calibration import Calibration
from retrieval.errors import CalibrationInvalid
from retrieval.evaluation.pairs import Pairs

Floats = npt.NDArray[np.float64]

_STRENGTH = 1.0


def fit_calibration(
    pairs: Mapping[str, Pairs], shares: Mapping[str, float], model_id: str, identity_bits: int
) -> Calibration:
    """Fit the logistic model with even odds of the two kinds of pairs.

    Each dataset has a share of the whole, each patient the same part of it among the positive pairs. The ratio is kept
    within what was seen: at most the number of negative pairs in favour, the number of patients with pairs against. A
    similarity that speaks against identity beside the others is left out.

    Args:
        pairs: by dataset, of held-out patients; all with logits of the verification head, or all without.
        shares: by dataset, how much it counts, > 0.
        model_id: of the network.
        identity_bits: length of the identity half of the code.

    Raises:
        CalibrationInvalid: there are no positive or no negative pairs, or every similarity speaks against identity.
    """
    counted = {name: _counts(found) for name, found in pairs.items()}
    positives = sum(count["patients_with_pairs"] for count in counted.values())
    negatives = sum(count["negative_pairs"] for count in counted.values())
    if positives < 2 or negatives < 2:
        raise CalibrationInvalid("Calibration needs at least two patients with two images each.")
    x = np.concatenate([_similarities(found, identity_bits) for found in pairs.values()])
    y = np.concatenate([found.same for found in pairs.values()])
    w = np.concatenate([shares[name] * even_odds(found) for name, found in pairs.items()])
    for label in (True, False):
        w[y == label] *= positives / w[y == label].sum()
    intercept, coefficients = _fit(x, y, w)
    return Calibration(
        model_id=model_id,
        identity_bits=identity_bits,
        intercept=intercept,
        cosine=coefficients[0],
        hamming=-coefficients[1] or 0.0,
        verification=coefficients[2] if len(coefficients) > 2 else 0.0,
        lowest=-math.log(positives),
        highest=math.log(negatives),
        fitted_on=counted,
    )


def even_odds(pairs: Pairs) -> npt.NDArray[np.float64]:
    """Weights (m,): half for the pairs of one person, half for those of two, in each half every patient the same."""
    weights = np.zeros(len(pairs.same))
    for chosen in (pairs.same, ~pairs.same):
        weights[chosen] = 0.5 * _even(pairs.first_patient[chosen])
    return weights


def _similarities(pairs: Pairs, identity_bits: int) -> Floats:
    """Columns that grow with likeness: cosine, minus the share of differing bits, logit of the head if there is one."""
    columns: list[npt.NDArray[np.floating]] = [pairs.cosine, -pairs.hamming / identity_bits]
    if pairs.verification is not None:
        columns.append(pairs.verification)
    return np.stack(columns, axis=1).astype(np.float64)


def _fit(x: Floats, y: npt.NDArray[np.bool_], weights: Floats) -> tuple[float, list[float]]:
    """Intercept and a coefficient of at least 0 for each column."""
    scaled = x / (x.std(axis=0) + 1e-9)
    used = list(range(x.shape[1]))
    while used:
        model = LogisticRegression(C=_STRENGTH, max_iter=1000)
        model.fit(scaled[:, used], y, sample_weight=weights)
        worst = int(np.argmin(model.coef_[0]))
        if model.coef_[0][worst] >= 0:
            found = dict(zip(used, model.coef_[0] / (x.std(axis=0) + 1e-9)[used], strict=True))
            return float(model.intercept_[0]), [float(found.get(column, 0.0)) for column in range(x.shape[1])]
        del used[worst]
    raise CalibrationInvalid("More similar images were less likely of one person; the network cannot be calibrated.")


def _even(patients: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Weights (n,) that sum to one, the same for every patient (here: the patient of a pair's first image)."""
    if not len(patients):
        return np.zeros(0)
    _, numbers, counts = np.unique(patients, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[numbers] * len(counts)), dtype=np.float64)


def _counts(pairs: Pairs) -> dict[str, int]:
    return {
        "patients_with_pairs": len(np.unique(pairs.first_patient[pairs.same])),
        "positive_pairs": int(pairs.same.sum()),
        "negative_pairs": int((~pairs.same).sum()),
    }
