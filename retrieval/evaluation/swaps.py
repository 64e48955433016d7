"""Images under the wrong patient: how many are found, at what price in false alarms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


class Swaps:
    """Scores of rightly and wrongly labelled images against the priors of the patient on their label.

    An image's score is its best similarity to these priors. A swapped image takes the place of each image of the
    patient in turn (so both kinds are compared with equally many priors) and is of the stratum (dataset and view) of
    the image it replaces.
    """

    def __init__(self, similarity: npt.NDArray[np.floating], patients: Numbers, strata: Numbers) -> None:
        """Score every image that has priors, and every swap.

        Args:
            similarity: (n, n). patients, strata: numbers (n,).
        """
        right, own, wrong, labels, swapped = [], [], [np.empty(0, similarity.dtype)], [], []
        for replaced in range(len(patients)):
            priors = np.flatnonzero((patients == patients[replaced]) & (np.arange(len(patients)) != replaced))
            if not len(priors):
                continue
            best = similarity[:, priors].max(axis=1)
            others = np.flatnonzero((patients != patients[replaced]) & (strata == strata[replaced]))
            right.append(float(best[replaced]))
            own.append(int(patients[replaced]))
            wrong.append(best[others])
            labels.append(np.full(len(others), patients[replaced]))
            swapped.append(patients[others])
        self.right = np.array(right, dtype=np.float64)
        self._own = np.array(own, dtype=np.int64)
        scores = np.concatenate(wrong)
        order = np.argsort(scores, kind="stable")
        self._wrong = scores[order]
        none = [np.empty(0, dtype=np.int64)]
        self._patients = np.concatenate(none + labels)[order], np.concatenate(none + swapped)[order]

    def found(self, false_alarms: Sequence[float], times: Floats | None = None) -> tuple[float, ...]:
        """Share of swapped images below the threshold under which this share of rightly labelled ones falls.

        Args:
            false_alarms: rates in (0, 1).
            times: how often each patient counts, float64 (patients,), whole numbers; once each if None.

        Returns:
            By rate, in [0, 1]; NaN without images that have priors, or without others to swap them with.
        """
        right, summed = self.right, np.arange(len(self._wrong) + 1, dtype=np.float64)
        if times is not None:
            right = np.repeat(right, times[self._own].astype(np.int64))
            np.cumsum(times[self._patients[0]] * times[self._patients[1]], out=summed[1:])
        if not len(right) or summed[-1] == 0:
            return tuple(float("nan") for _ in false_alarms)
        below = np.searchsorted(self._wrong, np.quantile(right, false_alarms), side="left")
        return tuple(float(share) for share in summed[below] / summed[-1])
