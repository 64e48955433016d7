"""From which likeness on a pair is reported: a cosine, or what the calibration says of so many pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from retrieval.audit.floor import best_ratio, furthest, least_normalised
from retrieval.calibration import probability
from retrieval.comparison import Comparer
from retrieval.normalisation import Levels


@dataclass(frozen=True)
class Threshold:
    """What a pair must reach.

    Attributes:
        cosine: in [-1, 1]. log_ratio: natural-log likelihood ratio, one person against two; -inf if only the cosine
            counts.
        false_pairs: false pairs to be expected at most among all pairs; None where a cosine was asked for.
    """

    cosine: float
    log_ratio: float = -math.inf
    false_pairs: float | None = None

    @property
    def probability(self) -> float:
        """The least probability, for even odds, in [0, 1]; 0 if only the cosine counts."""
        return float(probability(np.array([self.log_ratio]))[0])


def from_calibration(comparer: Comparer, known: Levels, pairs: int, false_pairs: float) -> Threshold:
    """The threshold that lets so many false pairs be expected among all pairs.

    Of pairs of two persons at most a share 1/r has a likelihood ratio of r or more, so among n pairs at most n/r do.
    The calibration speaks up to a highest ratio only; in larger collections that one is the threshold, and more false
    pairs are to be expected, which the result says.

    Args:
        known: how alike each image is to strangers. pairs: compared. false_pairs: > 0.

    Source: Good 1985, Weight of evidence: a brief survey, §3 (Turing's theorem on the expected factor).
    """
    wanted = max(math.log(max(pairs, 1) / false_pairs), 0.0)
    highest = furthest(known)
    reached = min(wanted, best_ratio(comparer, highest))
    normalised = least_normalised(comparer, reached, highest)
    # Two images reach a normalised cosine at a cosine between those at which either would with its like.
    cosine = 1.0 if normalised is None else float((known.mean + normalised * known.deviation).min())
    return Threshold(min(max(cosine, -1.0), 1.0), reached, pairs * math.exp(-reached))
