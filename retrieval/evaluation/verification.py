"""Do two images show one person: AUC, true positive rates and equal error rate, every patient with one vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.evaluation.metrics import patient_votes

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Operating:
    """What accepting each pair of one person costs, from which every figure follows.

    Attributes:
        cost: float64 (p,), false positive rate at the threshold that just accepts the pair.
        strict: float64 (p,), the same, but without the pairs of two persons that tie with it.
        votes: float64 (p,), how much the pair counts; they sum to 1.
    """

    cost: Floats
    strict: Floats
    votes: Floats

    def auc(self) -> float:
        """Probability that a pair of one person scores above a pair of two, ties half; NaN if a kind is missing."""
        if not len(self.cost):
            return float("nan")
        return float(np.clip(1.0 - self.votes @ (self.cost + self.strict) / 2, 0.0, 1.0))

    def true_positive_rate(self, false_positive_rate: float) -> float:
        """Share of pairs of one person accepted at the threshold that lets through at most this share of the others."""
        if not len(self.cost):
            return float("nan")
        # Rounding must not push a share above 1 or past its rate.
        accepted = self.votes[self.cost <= false_positive_rate * (1 + 1e-12)].sum()
        return min(1.0, float(accepted))

    def curve(self, rates: Floats) -> Floats:
        """True positive rate at each of these false positive rates, float64 like `rates`; empty without pairs."""
        if not len(self.cost):
            return np.empty(0)
        order = np.argsort(self.cost, kind="stable")
        reached = np.minimum(np.concatenate([[0.0], np.cumsum(self.votes[order])]), 1.0)
        return np.asarray(reached[np.searchsorted(self.cost[order], rates, side="right")])

    def equal_error_rate(self) -> float:
        """Where as large a share of the pairs of one person is refused as of the others is accepted.

        The ROC curve's points are joined by straight lines.
        """
        if not len(self.cost):
            return float("nan")
        order = np.lexsort((self.cost, self.strict))
        after = np.cumsum(self.votes[order])
        before = after - self.votes[order]
        x = np.concatenate([[0.0], np.stack([self.strict[order], self.cost[order]], axis=1).reshape(-1), [1.0]])
        y = np.concatenate([[0.0], np.stack([before, after], axis=1).reshape(-1), [1.0]])
        # Pairs that tie with each other share one slanted step: keep its two ends.
        first = np.concatenate([[True], np.diff(self.strict[order]) > 0])
        last = np.concatenate([np.diff(self.strict[order]) > 0, [True]])
        keep = np.concatenate([[True], np.stack([first, last], axis=1).reshape(-1), [True]])
        return float(np.interp(1.0, (x + y)[keep], x[keep]))


class RankedPairs:
    """Scored pairs, sorted once, so that figures of many draws of patients are cheap."""

    def __init__(
        self, scores: npt.NDArray[np.floating], same: npt.NDArray[np.bool_], patients: tuple[Numbers, Numbers]
    ) -> None:
        """Sort the pairs.

        Args:
            scores: (m,), higher is more alike. same: bool (m,).
            patients: numbers (m,) and (m,) of the two images' patients.
        """
        self.same = int(same.sum())
        self.different = len(same) - self.same
        others, own = -scores[~same], -scores[same]
        order = np.argsort(others, kind="stable")
        self._patients = patients[0][~same][order], patients[1][~same][order]
        self._own = patients[0][same]
        self._votes = patient_votes(same, patients[0])[same]
        self._above = np.searchsorted(others[order], own, side="left")
        self._least = np.searchsorted(others[order], own, side="right")

    def operating(self, times: Floats | None = None, votes: bool = True) -> Operating:
        """Costs of acceptance.

        Args:
            times: how often each patient counts, float64 (patients,); a pair of two persons counts as the product.
                Once each if None.
            votes: every patient has one vote among the pairs of one person, else every pair.
        """
        share = self._votes if votes else np.ones(self.same)
        if times is None:
            summed = np.arange(self.different + 1, dtype=np.float64)
        else:
            share = share * times[self._own]
            summed = np.zeros(self.different + 1)
            np.cumsum(times[self._patients[0]] * times[self._patients[1]], out=summed[1:])
        if summed[-1] == 0 or not share.any():
            return Operating(np.empty(0), np.empty(0), np.empty(0))
        return Operating(summed[self._least] / summed[-1], summed[self._above] / summed[-1], share / share.sum())


def measurable(false_positive_rate: float, different: int, at_least: int = 5) -> bool:
    """Whether so many pairs of two persons can tell this rate: some must lie above its threshold."""
    return false_positive_rate * different >= at_least


def rates(operating: Operating, wanted: Sequence[float], different: int) -> tuple[float, ...]:
    """True positive rates at the wanted false positive rates, NaN where there are too few pairs of two persons."""
    return tuple(operating.true_positive_rate(rate) if measurable(rate, different) else float("nan") for rate in wanted)
