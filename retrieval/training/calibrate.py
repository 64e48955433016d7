"""Fit a calibration on patients the network has not learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from retrieval.calibration import Calibration
from retrieval.errors import CalibrationInvalid
from retrieval.evaluation.pairs import Pairs

_STRENGTH = 1.0


def fit_calibration(
    pairs: dict[str, Pairs], shares: dict[str, float], model_id: str, identity_bits: int
) -> Calibration:
    """Fit the logistic model with even odds of the two kinds of pairs.

    Each dataset has a share of the whole, each patient the same part of it among the positive pairs. The ratio is kept
    within what was seen: at most the number of negative pairs in favour, the number of patients with pairs against.

    Args:
        pairs: by dataset, of held-out patients.
        shares: by dataset, how much it counts, > 0.
        model_id: of the network.
        identity_bits: length of the identity half of the code.

    Raises:
        CalibrationInvalid: there are no positive or no negative pairs, or similarity speaks against identity.
    """
    features, labels, weights = [], [], []
    for name, found in pairs.items():
        for label, positive in ((1, True), (0, False)):
            chosen = found.same == positive
            features.append(np.stack([found.cosine[chosen], found.hamming[chosen] / identity_bits], axis=1))
            labels.append(np.full(int(chosen.sum()), label))
            weights.append(shares[name] * _even(found.first_patient[chosen]))
    x, y, w = np.concatenate(features), np.concatenate(labels), np.concatenate(weights)
    counted = {name: _counts(found) for name, found in pairs.items()}
    positives = sum(count["patients_with_pairs"] for count in counted.values())
    negatives = sum(count["negative_pairs"] for count in counted.values())
    if positives < 2 or negatives < 2:
        raise CalibrationInvalid("Calibration needs at least two patients with two images each.")
    for label in (0, 1):
        w[y == label] *= positives / w[y == label].sum()
    used: Sequence[int] = (0, 1)
    intercept, coefficients = _fit(x, y, w, used)
    if coefficients[0] < 0 or coefficients[1] > 0:
        used = (0,) if coefficients[1] > 0 else (1,)
        intercept, coefficients = _fit(x, y, w, used)
    return Calibration(
        model_id=model_id,
        identity_bits=identity_bits,
        intercept=intercept,
        cosine=coefficients[0],
        hamming=coefficients[1],
        lowest=-math.log(positives),
        highest=math.log(negatives),
        fitted_on=counted,
    )


def _fit(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], used: Sequence[int]
) -> tuple[float, list[float]]:
    spread = x.std(axis=0) + 1e-9
    model = LogisticRegression(C=_STRENGTH, max_iter=1000)
    model.fit((x / spread)[:, list(used)], y, sample_weight=weights)
    coefficients = [0.0, 0.0]
    for position, column in enumerate(used):
        coefficients[column] = float(model.coef_[0][position] / spread[column])
    return float(model.intercept_[0]), coefficients


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
