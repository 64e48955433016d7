"""How alike two images must be to matter: the threshold of an audit, asked of the verdict and the calibration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from retrieval.comparison import Comparer
from retrieval.normalisation import Levels
from retrieval.verdict import CORRELATION, Evidence, Person, Rates, judge

# Matches with several persons add up, so each may fall short of what one alone must reach: down to a tenth.
ADDING_UP = float(np.log(10.0))
_STEPS = 50


def least_ratio(
    rates: Rates, min_probability: float, persons: int, lowest: float, highest: float, log_header: float = 0.0
) -> float | None:
    """The log likelihood ratio from which on a match with one other person may change a verdict.

    It is asked of `judge`, for an image without priors and for one that its priors contradict as loudly as they can.

    Args:
        min_probability: below it nothing is reported, in [0, 1].
        persons: other persons in the gallery, ≥ 1.
        lowest, highest: what the calibration can say of two images, `lowest` < `highest`.
        log_header: what the headers of the two records say about their being one person's.

    Returns:
        between `lowest` and `highest`, in nats; None if in a gallery of this size no match of two images can.
    """
    contradicted = Person(0, np.array([lowest]))

    def names(ratio: float) -> bool:
        match = (Person(1, np.array([ratio]), log_header),)
        evidence = (Evidence(own, match, persons) for own in (None, contradicted))
        return any(judge(one, rates, min_probability).other is not None for one in evidence)

    found = _first(names, lowest, highest)
    # Several images of one person that agree may each fall short of it, too, see `Person.log_ratio`.
    return None if found is None else max(lowest, min(found - ADDING_UP, CORRELATION * found))


def least_normalised(comparer: Comparer, ratio: float, highest: float) -> float | None:
    """The normalised cosine from which on two images can reach a log likelihood ratio, if all else speaks for it.

    All else is codes without a differing bit and, where there is a verification head, its answer for two equal
    embeddings.

    Args:
        highest: normalised cosine that two images of the gallery can have, see `furthest`; > 0.

    Returns:
        between -`highest` and `highest`, in deviations above strangers; None if no two images can reach the ratio.
    """
    return _first(lambda normalised: best_ratio(comparer, normalised) >= ratio, -highest, highest)


def least_cosine(comparer: Comparer, ratio: float) -> float | None:
    """The same as a cosine in [-1, 1], for images of which nothing is known but the calibration's population."""
    known = comparer.calibration.population
    found = least_normalised(comparer, ratio, _furthest_of_population(comparer))
    return None if found is None else max(known.mean + found * known.deviation, -1.0)


def furthest(known: Levels) -> float:
    """The normalised cosine that two equal images reach at most, of images with these levels."""
    return float(((1.0 - known.mean) / known.deviation).max(initial=1.0))


def best_ratio(comparer: Comparer, normalised: float | None = None) -> float:
    """The highest log likelihood ratio that two images with this normalised cosine can reach.

    Args:
        normalised: by default that of two equal images of which nothing is known but the calibration's population.
    """
    likeness = _furthest_of_population(comparer) if normalised is None else normalised
    return float(comparer.calibration.log_likelihood_ratio(best_score(comparer, likeness))[0])


def best_score(comparer: Comparer, normalised: float) -> NDArray[np.float64]:
    """The highest score float64 (1,) that two images with this normalised cosine can reach, see `Calibration.score`."""
    verified = None
    if comparer.verifier is not None:
        equal = np.zeros((1, comparer.verifier.dim), np.float32)
        equal[0, 0] = 1.0
        verified = comparer.verifier.logits(equal, equal)
    return comparer.calibration.score(np.array([normalised]), np.zeros(1, np.int64), verified)


def least_rare_cosine(comparer: Comparer, share: float) -> float | None:
    """The cosine from which on at most this share of pairs of two persons is so alike, if all else speaks for one.

    It is that of images of which nothing is known but the calibration's population.

    Returns:
        in [-1, 1]; None if pairs of two persons are never so rare.
    """
    known, tail = comparer.calibration.population, comparer.calibration.tail

    def rare(cosine: float) -> bool:
        score = best_score(comparer, (cosine - known.mean) / known.deviation)
        return float(tail.share_above(score)[0]) <= share

    return _first(rare, -1.0, 1.0)


def _furthest_of_population(comparer: Comparer) -> float:
    known = comparer.calibration.population
    return furthest(Levels(np.array([known.mean]), np.array([known.deviation])))


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
