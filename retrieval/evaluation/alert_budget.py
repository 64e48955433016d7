"""What an alert list of limited length finds: planted errors found and false alerts, by alerts per 1,000 studies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

NONE = -1


@dataclass(frozen=True, eq=False)
class RankedAlerts:
    """The alerts of a stream in the order of a list, and what is true about them.

    Attributes:
        studies: how many studies the stream holds.
        expected: float64 (n,), what is to be expected of each, see `archive.budget.RecordRule`; descending.
        kind: int64 (n,), the caller's number for what each alert says.
        error: int64 (n,), the planted error that each alert reports, or `NONE`.
        near: bool (n,), whether an alert that reports none is about a patient in whose folder one lies.
        limited: bool (n,), of which a list holds its share at most. share: in [0, 1].
        patient: int64 (n,), the caller's number for the patient of whom a list holds one alert, or `NONE`.
        certain: int64 (m,), errors that are reported as facts, beside the list and whatever its length.
    """

    studies: int
    expected: Floats
    kind: Numbers
    error: Numbers
    near: npt.NDArray[np.bool_]
    certain: Numbers
    limited: npt.NDArray[np.bool_]
    patient: Numbers
    share: float = 1.0

    @classmethod
    def ranked(
        cls,
        studies: int,
        expected: Floats,
        kind: Numbers,
        error: Numbers,
        near: npt.NDArray[np.bool_],
        certain: Numbers,
        limited: npt.NDArray[np.bool_] | None = None,
        share: float = 1.0,
        patient: Numbers | None = None,
    ) -> RankedAlerts:
        """Rank alerts by what is to be expected of them; ties keep the given order."""
        order = np.argsort(-expected, kind="stable")
        some = np.zeros(len(order), np.bool_) if limited is None else limited
        whose = np.full(len(order), NONE, np.int64) if patient is None else patient
        return cls(
            studies,
            expected[order],
            kind[order],
            error[order],
            near[order],
            certain,
            some[order],
            whose[order],
            share,
        )

    @classmethod
    def joined(cls, streams: Sequence[RankedAlerts]) -> RankedAlerts:
        """One list for at least one stream; the errors and patients of each have numbers of their own."""
        return cls.ranked(
            sum(stream.studies for stream in streams),
            np.concatenate([stream.expected for stream in streams]),
            np.concatenate([stream.kind for stream in streams]),
            np.concatenate([stream.error for stream in streams]),
            np.concatenate([stream.near for stream in streams]),
            np.concatenate([stream.certain for stream in streams]),
            np.concatenate([stream.limited for stream in streams]),
            streams[0].share,
            np.concatenate([stream.patient for stream in streams]),
        )

    def on_list(self, per_1000: float) -> Numbers:
        """Positions int64 (k,) of the alerts that a budget puts on the list, in its order."""
        room = round(self.studies * per_1000 / 1000)
        beyond = self.limited & (np.cumsum(self.limited) > np.ceil(self.share * room - 1e-9))
        again = self.patient != NONE
        again[np.unique(self.patient, return_index=True)[1]] = False
        return np.flatnonzero(~beyond & ~again)[:room]


@dataclass(frozen=True)
class Found:
    """What was found at one budget of one kind of errors.

    Attributes:
        planted, found: errors of the kind; and those that are on the list, or reported as facts.
        low, high: 95 % interval of the share found, in [0, 1] (Wilson); NaN if none was planted.
    """

    planted: int
    found: int
    low: float
    high: float

    @property
    def missed(self) -> int:
        """Errors that are not on the list."""
        return self.planted - self.found

    @property
    def share(self) -> float:
        """Share of the errors found, in [0, 1]; NaN if none was planted."""
        return self.found / self.planted if self.planted else float("nan")


@dataclass(frozen=True)
class Listed:
    """The list at one budget.

    Attributes:
        studies: of the stream. shown: alerts on the list. right: those that report a planted error.
        near: those that do not, but lead to a patient in whose folder one lies.
    """

    studies: int
    shown: int
    right: int
    near: int

    @property
    def raised_per_1000(self) -> float:
        """Alerts on the list for 1,000 studies."""
        return 1000 * self.shown / self.studies

    @property
    def false_per_1000(self) -> float:
        """Alerts for 1,000 studies that report no planted error, those that lead near one included."""
        return 1000 * (self.shown - self.right) / self.studies

    @property
    def precision(self) -> float:
        """Share of the alerts on the list that report a planted error, in [0, 1]; NaN for an empty list."""
        return self.right / self.shown if self.shown else float("nan")


def listed(alerts: RankedAlerts, per_1000: float, kinds: Collection[int] | None = None) -> Listed:
    """Count the alerts that a budget puts on the list; facts are on no list.

    Args:
        kinds: count only alerts of these kinds; all if None.
    """
    shown = alerts.on_list(per_1000)
    counted = np.ones(len(shown), np.bool_) if kinds is None else np.isin(alerts.kind[shown], list(kinds))
    reports = alerts.error[shown] != NONE
    near = counted & ~reports & alerts.near[shown]
    return Listed(alerts.studies, int(counted.sum()), int((counted & reports).sum()), int(near.sum()))


def found(alerts: RankedAlerts, errors: Numbers, per_1000: float) -> Found:
    """Count which of these planted errors int64 (k,) a budget finds."""
    shown = np.concatenate([alerts.error[alerts.on_list(per_1000)], alerts.certain])
    seen = int(np.isin(errors, shown).sum())
    return Found(len(errors), seen, *wilson(seen, len(errors)))


def wilson(hits: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share, in [0, 1]; NaN without trials.

    Source: Wilson 1927, Journal of the American Statistical Association 22:209, equation 1.
    """
    if not trials:
        return float("nan"), float("nan")
    share = hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
