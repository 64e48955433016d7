"""The figures of a replay: for each gallery, budget and kind of error what was found, and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from archive.states import AlertKind, ImageState
from cli.demonstration.score import LABEL_IS_WRONG
from cli.replaying.kinds import ErrorKind
from cli.replaying.outcome import KINDS, RoundOutcome, ranked
from retrieval.evaluation.alert_budget import Listed, Numbers, RankedAlerts, found, listed

BUDGETS = (1.0, 5.0, 20.0)
MEASURED = 0


@dataclass(frozen=True)
class Group:
    """Kinds of errors that are reported in one line, the alerts that report them, and what these alerts say."""

    title: str
    errors: tuple[ErrorKind, ...]
    alerts: tuple[AlertKind, ...]
    says: str = ""


_DOUBLE = (AlertKind.DUPLICATE_RECORD,)
SWAPS = Group(
    "swaps among patients with priors", (ErrorKind.WITH_PRIORS, ErrorKind.ALIKE), LABEL_IS_WRONG, "the label is wrong"
)
NEW_SWAPS = Group("swaps under a patient without priors", (ErrorKind.WITHOUT_PRIORS,), (*LABEL_IS_WRONG, *_DOUBLE))
RECORDS = Group("second records", (ErrorKind.SECOND_RECORD,), _DOUBLE, "two records are one person")
EVERYTHING = Group(
    "all of these",
    tuple(kind for kind in ErrorKind if kind is not ErrorKind.RESENT),
    (*LABEL_IS_WRONG, *_DOUBLE),
    "the whole list",
)
RESENT = Group(
    "the same pixels again", (ErrorKind.RESENT,), (AlertKind.DUPLICATE_IMAGE,), "the same pixels, beside the list"
)
GROUPS = (
    SWAPS,
    Group("of these, of the same sex and age group", (ErrorKind.ALIKE,), LABEL_IS_WRONG),
    NEW_SWAPS,
    RECORDS,
    EVERYTHING,
    RESENT,
)


@dataclass(frozen=True)
class Figure:
    """One line of the CSV.

    Attributes:
        gallery: persons in a simulated gallery; `MEASURED` for what the pipeline itself did.
        budget: alerts allowed for 1,000 studies. kind: a `Group.title`.
        planted, found, missed: errors; in a simulation, over all draws. share, low, high: found, with 95 % interval.
        raised_per_1000, false_per_1000, near_per_1000: alerts that say this, for 1,000 studies: on the list; of these
            those that report no planted error; of these those about a patient in whose folder a misfiled image lies.
        precision: share of the alerts raised that report a planted error, in [0, 1]; NaN if none is raised.
    """

    gallery: int
    budget: float
    kind: str
    planted: int
    found: int
    missed: int
    share: float
    low: float
    high: float
    raised_per_1000: float
    false_per_1000: float
    near_per_1000: float
    precision: float


@dataclass(frozen=True, eq=False)
class Pooled:
    """All streams of a gallery as one, and the rounds that they are of, in their order."""

    alerts: RankedAlerts
    rounds: Sequence[RoundOutcome]

    def errors(self, group: Group) -> Numbers:
        """The planted errors of a group, by the numbers of `alerts`, int64 (k,)."""
        starts = [0, *accumulate(len(one.images) for one in self.rounds)]
        found = [start + one.errors(*group.errors) for start, one in zip(starts, self.rounds, strict=False)]
        return np.concatenate(found)


def figures(rounds: Sequence[RoundOutcome], budgets: Sequence[float] = BUDGETS) -> list[Figure]:
    """All lines: measured, then simulated, in the order of budgets and groups."""
    lines = []
    for gallery in galleries(rounds):
        streams = pooled(rounds, gallery)
        lines += [_figure(streams, gallery, budget, group) for budget in budgets for group in GROUPS]
    return lines


def galleries(rounds: Sequence[RoundOutcome]) -> list[int]:
    """`MEASURED`, and the sizes of the simulated galleries, if there are any."""
    return [MEASURED, *sorted(set.intersection(*(set(one.simulated) for one in rounds)))]


def pooled(rounds: Sequence[RoundOutcome], gallery: int) -> Pooled:
    """The alerts of all rounds, and of all draws where they are simulated, as one list."""
    draws = [
        (draw, one) for one in rounds for draw in ([one.alerts] if gallery == MEASURED else one.simulated[gallery])
    ]
    starts = [0, *accumulate(len(one.images) for _, one in draws)]
    lists = [ranked(draw, one.studies, one.records, start) for (draw, one), start in zip(draws, starts, strict=False)]
    return Pooled(RankedAlerts.joined(lists), [one for _, one in draws])


def as_shown(rounds: Sequence[RoundOutcome]) -> Listed:
    """What the system's own alert budget left on its list when the streams had ended, facts not counted."""
    shown = [alert for one in rounds for alert in one.alerts if not alert.held and not alert.is_fact]
    right = sum(alert.error is not None for alert in shown)
    near = sum(alert.near for alert in shown)
    return Listed(sum(one.studies for one in rounds), len(shown), right, near)


def unsettled(rounds: Sequence[RoundOutcome]) -> int:
    """Images that were given up instead of judged or set aside."""
    settled = (ImageState.MATCHED, ImageState.UNSUITABLE)
    return sum(image.state not in settled for one in rounds for image in one.images)


def set_aside(rounds: Sequence[RoundOutcome]) -> int:
    """Images that the gate or the header kept from being compared."""
    return sum(image.state is ImageState.UNSUITABLE for one in rounds for image in one.images)


def _figure(streams: Pooled, gallery: int, budget: float, group: Group) -> Figure:
    got = found(streams.alerts, streams.errors(group), budget)
    kinds = [KINDS.index(kind) for kind in group.alerts]
    cost = _facts(streams.rounds) if group is RESENT else listed(streams.alerts, budget, kinds)
    return Figure(
        gallery,
        budget,
        group.title,
        got.planted,
        got.found,
        got.missed,
        got.share,
        got.low,
        got.high,
        cost.raised_per_1000,
        cost.false_per_1000,
        1000 * cost.near / cost.studies,
        cost.precision,
    )


def _facts(rounds: Sequence[RoundOutcome]) -> Listed:
    facts = [alert for one in rounds for alert in one.alerts if alert.is_fact]
    right = sum(alert.error is not None for alert in facts)
    return Listed(sum(one.studies for one in rounds), len(facts), right, sum(alert.near for alert in facts))
