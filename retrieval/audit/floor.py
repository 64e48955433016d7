"""How alike two images must be to matter: the threshold of an audit, asked of the verdict and the calibration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from retrieval.comparison import Comparer
from retrieval.verdict import Evidence, Person, Rates, judge

# Matches with several persons add up, so each may fall short of what one alone must reach: down to a tenth.
ADDING_UP = float(np.log(10.0))
_STEPS = 50


def least_ratio(rates: Rates, min_probability: float, persons: int, lowest: float, highest: float) -> float | None:
    """The log likelihood ratio from which on a match with one other person may change a verdict.

    It is asked of `judge`, for an image without priors and for one that its priors contradict as loudly as they can.

    Args:
        min_probability: below it nothing is reported, in [0, 1].
        persons: other persons in the gallery, ≥ 1.
        lowest, highest: what the calibration can say of two images, `lowest` < `highest`.

    Returns:
        between `lowest` and `highest`, in nats; None if in a gallery of this size no match of two images can.
    """
    contradicted = Person(0, np.array([lowest]))

    def names(ratio: float) -> bool:
        match = (Person(1, np.array([ratio])),)
        evidence = (Evidence(own, match, persons) for own in (None, contradicted))
        return any(judge(one, rates, min_probability).other is not None for one in evidence)

    found = _first(names, lowest, highest)
    return None if found is None else max(lowest, found - ADDING_UP)


def least_cosine(comparer: Comparer, ratio: float) -> float | None:
    """The cosine from which on two images can reach a log likelihood ratio, if all else speaks for one person.

    All else is codes without a differing bit and, where there is a verification head, its answer for two equal
    embeddings.

    Returns:
        in [-1, 1]; None if no two images can reach it.
    """
    return _first(lambda cosine: _best_ratio(comparer, cosine) >= ratio, -1.0, 1.0)


def best_ratio(comparer: Comparer) -> float:
    """The highest log likelihood ratio that two images can reach."""
    return _best_ratio(comparer, 1.0)


def _best_ratio(comparer: Comparer, cosine: float) -> float:
    verified = None
    if comparer.verifier is not None:
        equal = np.zeros((1, comparer.verifier.dim), np.float32)
        equal[0, 0] = 1.0
        verified = comparer.verifier.logits(equal, equal)
    best = comparer.calibration.log_likelihood_ratio(np.array([cosine], np.float32), np.zeros(1, np.int64), verified)
    return float(best[0])


def _first(holds: Callable[[float], bool], low: float, high: float) -> float | None:
    """The least value between two bounds from which on a statement holds, from below to within (high - low) / 2^50."""
    if not holds(high):
        return None
    if holds(low):
        return low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low
