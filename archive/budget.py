"""The alert budget: which of the latest suspicions are shown, so that people get so many for 1,000 studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from config.errors import LungprintError

# Studies whose alerts may be raised before they have come.
LENT = 250


class BudgetInvalid(LungprintError):
    """A budget holds impossible values."""


@dataclass(frozen=True)
class Suspicion:
    """An estimate that may be shown or held back.

    Attributes:
        number: the caller's, each once; the lower the earlier. probability: that it is right, in [0, 1].
        is_kept: it is on the list whatever comes, since a person has dealt with it.
        is_record: it says that a person has two records.
        patient: on the label that is said to be wrong, any number; None where that is no matter.
    """

    number: int
    probability: float
    is_kept: bool = False
    is_record: bool = False
    patient: int | None = None


@dataclass(frozen=True)
class RecordRule:
    """What a list makes of suspicions that a person has two records, beside those that a label is wrong.

    They are less dangerous: where wrong labels are frequent, a likely one comes before them. And they are more
    frequent: where wrong labels are rare, hardly one would come before them by weight alone, so their share is limited.

    Attributes:
        share: of the list, at most this share, rounded up to whole alerts, is about second records; in [0, 1].
        weight: how much one counts, in [0, 1], where a wrong label counts 1.
    """

    share: float = 1.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.share <= 1.0 and 0.0 <= self.weight <= 1.0):
            raise BudgetInvalid("The share of second records on a list and their weight are from 0 to 1.")

    def expected(self, probability: float, is_record: bool) -> float:
        """What is to be expected of a suspicion, in [0, 1]: probability times weight, by which a list is ordered."""
        return probability * self.weight if is_record else probability

    def most(self, room: int) -> int:
        """How many of so many places may be about second records."""
        return math.ceil(self.share * room - 1e-9)


@dataclass(frozen=True)
class AlertBudget:
    """So many alerts for 1,000 studies, over a sliding window of the latest studies.

    Attributes:
        per_1000: alerts, ≥ 0. window: studies, ≥ 1.
        records: what the list makes of second records; by default they are suspicions like others.
    """

    per_1000: float
    window: int
    records: RecordRule = field(default_factory=RecordRule)

    def __post_init__(self) -> None:
        if self.per_1000 < 0 or self.window < 1:
            raise BudgetInvalid("A budget is 0 or more alerts for 1,000 studies, over a window of 1 study or more.")

    def allowance(self, studies: int) -> int:
        """How many alerts the latest studies allow for; while there are fewer than a window holds, in proportion.

        A young system is lent the alerts of its first `LENT` studies, so that its first suspicions are seen at once.

        Args:
            studies: judged so far, the present one included.
        """
        return math.ceil(self.per_1000 * min(max(studies, LENT), self.window) / 1000 - 1e-9)

    def shown(self, suspicions: Sequence[Suspicion], studies: int) -> frozenset[int]:
        """Numbers of the suspicions of the window that are on the list: kept ones, then those of which the most is to
        be expected, second records up to their share; ties by probability, then by number.

        Of the suspicions that images are wrongly filed under one patient, the list shows one at a time: whoever works
        it looks at all images of the patient, and one bad folder would take the places of others.

        Args:
            suspicions: those of the latest `window` studies. studies: judged so far.
        """
        on_list = [one for one in suspicions if one.is_kept]
        others = sorted((one for one in suspicions if not one.is_kept), key=self._place)
        room = self.allowance(studies)
        for_records = self.records.most(room) - sum(one.is_record for one in on_list)
        shown: set[int] = set()
        for one in others:
            if len(on_list) >= room:
                break
            if one.patient in shown or (one.is_record and for_records <= 0):
                continue
            on_list.append(one)
            for_records -= one.is_record
            if one.patient is not None:
                shown.add(one.patient)
        return frozenset(one.number for one in on_list)

    def raised(self, probabilities: Sequence[float | None]) -> tuple[bool, ...]:
        """Which suspicions of a stream are on the list when they leave the window or the stream ends.

        This is what the system does with a stream that nobody looks at; the share of True keeps to the budget as long
        as there are suspicions enough.

        Args:
            probabilities: for each study in order of time that of its suspicion, None where there is none.
        """
        final = [False] * len(probabilities)
        on_list: frozenset[int] = frozenset()
        for last in range(len(probabilities)):
            first = max(0, last + 1 - self.window)
            if first and probabilities[first - 1] is not None:
                final[first - 1] = first - 1 in on_list
            if probabilities[last] is not None or first:
                recent = ((number, probabilities[number]) for number in range(first, last + 1))
                on_list = self.shown([Suspicion(n, p) for n, p in recent if p is not None], last + 1)
        for number in on_list:
            final[number] = True
        return tuple(final)

    def _place(self, one: Suspicion) -> tuple[float, float, int]:
        return -self.records.expected(one.probability, one.is_record), -one.probability, one.number
