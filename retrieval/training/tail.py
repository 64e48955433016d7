"""Fit the tail of the scores of two persons, and hold it against patients it was not fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from retrieval.errors import CalibrationInvalid
from retrieval.evaluation.pairs import Pairs
from retrieval.tail import Draw, ImpostorTail

Floats = npt.NDArray[np.float64]

# Above this share of the scores of two persons, they are extrapolated; with few pairs, above that of ten of them.
_BODY = 0.95
_LEAST_EXCEEDING = 10
_DRAWS = 24
_COUNTED = np.concatenate([np.linspace(0.0, 0.9, 19), [0.925]])


def fit_tail(pairs: Mapping[str, Pairs], scores: Mapping[str, Floats], shares: Mapping[str, float]) -> ImpostorTail:
    """Count the scores of two persons below a high threshold, and fit generalised Pareto distributions above it.

    One distribution is fitted to each of some draws of patients with replacement: a pair counts as often as both of its
    patients were drawn.

    Args:
        pairs: by kind, of held-out patients. scores: by kind, of these pairs, float64 (m,).
        shares: by kind, how much it counts, > 0.

    Raises:
        CalibrationInvalid: there are too few pairs of two persons.

    Source: see `retrieval.tail.ImpostorTail`; Efron and Tibshirani 1993, An Introduction to the Bootstrap.
    """
    rng = np.random.default_rng(0)
    values, once = _impostors(pairs, scores, shares, None)
    if len(values) < 2 * _LEAST_EXCEEDING:
        raise CalibrationInvalid(
            f"A calibration needs {2 * _LEAST_EXCEEDING} pairs of two persons at least, and there are {len(values)}."
        )
    body = min(_BODY, 1.0 - _LEAST_EXCEEDING / len(values))
    levels = np.append(_COUNTED[body > _COUNTED], body)
    quantiles = weighted_quantiles(values, once, levels)
    draws: list[Draw] = []
    for _ in range(_DRAWS):
        drawn, weights = _impostors(pairs, scores, shares, rng)
        above = (drawn > quantiles[-1]) & (weights > 0)
        if len(np.unique(drawn[above])) >= _LEAST_EXCEEDING // 2:
            draws.append(_fit(drawn[above] - quantiles[-1], weights[above]))
    if not draws:
        # Scores with hardly a value above the threshold tell no shape: an exponential tail of their own spread.
        draws.append(Draw(1.0 / (len(values) + 1), 0.0, max(float(values.std()), 1e-6)))
    return ImpostorTail(tuple(quantiles.tolist()), tuple((1.0 - levels).tolist()), tuple(draws))


def weighted_quantiles(values: Floats, weights: Floats, levels: Sequence[float] | Floats) -> Floats:
    """Values float64 (k,) below which these shares of the weight (n,) lie; shares in [0, 1]."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    places = np.searchsorted(reached, np.asarray(levels), side="left")
    return np.asarray(values[order][np.minimum(places, len(values) - 1)], dtype=np.float64)


def _fit(excess: Floats, weights: Floats) -> Draw:
    """By probability-weighted moments, since the libraries fit no weighted sample.

    Args:
        excess: by how much scores exceed the threshold (n,), > 0. weights: (n,), their shares of all scores.

    Source: Hosking and Wallis 1987, Technometrics 29:339, equations 6 and 7 (ξ = −k).
    """
    order = np.argsort(excess, kind="stable")
    share = float(weights.sum())
    counted = weights[order] / share
    exceeded = 1.0 - (np.cumsum(counted) - 0.5 * counted)
    mean, weighted = float(counted @ excess[order]), float(counted @ (excess[order] * exceeded))
    apart = max(mean - 2.0 * weighted, 1e-9 * mean)
    return Draw(min(share, 0.5), 2.0 - mean / apart, 2.0 * mean * weighted / apart)


def _impostors(
    pairs: Mapping[str, Pairs],
    scores: Mapping[str, Floats],
    shares: Mapping[str, float],
    rng: np.random.Generator | None,
) -> tuple[Floats, Floats]:
    """Scores (m,) of pairs of two persons and their weights (m,), which sum to 1; of drawn patients with `rng`."""
    values, weights = [], []
    for kind, found in pairs.items():
        apart = ~found.same
        first, second = found.first_patient[apart], found.second_patient[apart]
        counts = np.ones(len(first))
        if rng is not None:
            patients = int(max(first.max(initial=0), second.max(initial=0))) + 1
            times = np.bincount(rng.integers(patients, size=patients), minlength=patients).astype(np.float64)
            counts = times[first] * times[second]
        if counts.any():
            values.append(scores[kind][apart])
            weights.append(shares[kind] * counts / counts.sum())
    if not values:
        return np.empty(0), np.empty(0)
    joined = np.concatenate(weights)
    return np.concatenate(values), joined / joined.sum()
