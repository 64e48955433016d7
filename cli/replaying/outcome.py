"""What a round of a replay came to, as plain numbers that are kept between runs of the command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.alerts import list_alerts
from archive.budget import RecordRule
from archive.models import Instance
from archive.states import AlertKind, AlertState, ImageState
from cli.demonstration.score import LABEL_IS_WRONG
from cli.replaying.kinds import ErrorKind
from cli.replaying.plan import Plan
from retrieval.evaluation.alert_budget import NONE, Numbers, RankedAlerts

# Of the files that keep finished rounds; another number whenever what they hold changes.
FORMAT = 2
# An alert's kind as a number.
KINDS = tuple(AlertKind)


@dataclass(frozen=True)
class Shown:
    """An image as the system left it: what was planted, its state, verdict and the verdict's probability."""

    planted: ErrorKind | None
    state: ImageState
    verdict: str
    probability: float | None


@dataclass(frozen=True)
class Raised:
    """An alert, and what is true about it.

    Attributes:
        held: whether the system's own alert budget held it back.
        error: number of the shot whose planted error it reports, None if it reports none.
        near: whether one of its patients has a misfiled image, so that whoever works it comes upon that.
        patient: for an alert that a label is wrong, number of the first shot under that label: a list shows one alert
            of each.
    """

    kind: AlertKind
    probability: float
    held: bool
    error: int | None
    near: bool
    patient: int | None = None

    def expected(self, records: RecordRule) -> float:
        """What is to be expected of it, in [0, 1], see `RecordRule`."""
        return records.expected(self.probability, self.is_record)

    @property
    def is_record(self) -> bool:
        """Whether it says that a person has two records."""
        return self.kind is AlertKind.DUPLICATE_RECORD

    @property
    def is_fact(self) -> bool:
        """Whether it is read off the data instead of estimated, and so outside the budget."""
        return self.kind is AlertKind.DUPLICATE_IMAGE


@dataclass(frozen=True)
class RoundOutcome:
    """A round.

    Attributes:
        images: every image in the order of the stream. alerts: every alert, the most probable first.
        simulated: by size of a simulated gallery, the alerts of each draw of strangers, cut where no budget reaches.
        records: what a list makes of second records, by the options of the system.
    """

    images: Sequence[Shown]
    alerts: Sequence[Raised]
    simulated: Mapping[int, Sequence[Sequence[Raised]]] = field(default_factory=dict)
    records: RecordRule = field(default_factory=RecordRule)

    @property
    def studies(self) -> int:
        """Studies that got a verdict; each image is a study of its own."""
        return sum(image.state is ImageState.MATCHED for image in self.images)

    def errors(self, *kinds: ErrorKind) -> Numbers:
        """Numbers of the shots with planted errors of these kinds, int64 (k,)."""
        return np.array([number for number, image in enumerate(self.images) if image.planted in kinds], np.int64)

    def save(self, path: Path) -> None:
        """Write it as JSON; it appears complete or not at all."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)), encoding="utf-8")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> RoundOutcome:
        """Read what `save` wrote."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        images = [
            Shown(
                None if one["planted"] is None else ErrorKind(one["planted"]),
                ImageState(one["state"]),
                one["verdict"],
                one["probability"],
            )
            for one in raw["images"]
        ]
        simulated = {int(size): [_alerts(draw) for draw in draws] for size, draws in raw["simulated"].items()}
        return cls(images, _alerts(raw["alerts"]), simulated, RecordRule(**raw["records"]))


def ranked(alerts: Sequence[Raised], studies: int, records: RecordRule, first: int = 0) -> RankedAlerts:
    """Alerts of so many studies as a list, and the errors that are reported as facts beside it.

    Args:
        records: what a list makes of second records.
        first: number of the stream's first shot, where several streams are joined.
    """
    estimates = [alert for alert in alerts if not alert.is_fact]
    facts = {alert.error for alert in alerts if alert.is_fact and alert.error is not None}
    return RankedAlerts.ranked(
        studies,
        np.array([alert.expected(records) for alert in estimates], np.float64),
        np.array([KINDS.index(alert.kind) for alert in estimates], np.int64),
        np.array([NONE if alert.error is None else first + alert.error for alert in estimates], np.int64),
        np.array([alert.near for alert in estimates], np.bool_),
        np.array([first + error for error in sorted(facts)], np.int64),
        np.array([alert.is_record for alert in estimates], np.bool_),
        records.share,
        np.array([NONE if alert.patient is None else first + alert.patient for alert in estimates], np.int64),
    )


def outcome(session: Session, plan: Plan, records: RecordRule) -> RoundOutcome:
    """Read from the database what became of a round in a system with that option."""
    rows = {row.sop_instance_uid: row for row in session.scalars(select(Instance))}
    images = []
    for shot, uid, _ in plan.delivery.sent():
        planted, row = plan.errors.get(shot.number), rows.get(uid)
        # Over the network an image may be refused; it was given up as surely as one that could not be decoded.
        found = (ImageState.FAILED, "", None) if row is None else (row.state, row.verdict, row.probability)
        images.append(Shown(planted, *found))
    truth = Truth(plan)
    return RoundOutcome(images, [truth.of(alert) for alert in list_alerts(session)], records=records)


def _alerts(raw: Sequence[Mapping[str, Any]]) -> list[Raised]:
    return [
        Raised(AlertKind(one["kind"]), one["probability"], one["held"], one["error"], one["near"], one["patient"])
        for one in raw
    ]


class Truth:
    """Knows what was planted, and so what is true about an alert."""

    def __init__(self, plan: Plan) -> None:
        patients = {label: record.patient.patient_id for label, record in plan.delivery.records.items()}
        self._error: dict[str, int] = {}
        self._kind = plan.errors
        self._pairs: dict[frozenset[str], int] = {}
        self._copies: dict[str, list[int]] = {}
        self._misfiled: set[str] = set()
        self._priors: dict[str, list[int]] = {}
        self._first: dict[str, int] = {}
        so_far: dict[str, list[int]] = {}
        of_content: dict[Any, list[str]] = {}
        for shot, uid, patient_id in plan.delivery.sent():
            of_content.setdefault(shot.film.content, []).append(uid)
            kind = plan.errors.get(shot.number)
            earlier = so_far.setdefault(patient_id, [])
            self._priors[uid] = list(earlier)
            self._first.setdefault(patient_id, shot.number)
            earlier.append(shot.number)
            if kind is None:
                continue
            owner = patients.get(shot.film.person)
            if kind.is_swap:
                self._error[uid] = shot.number
            if kind in (ErrorKind.SECOND_RECORD, ErrorKind.WITHOUT_PRIORS) and owner is not None:
                self._pairs[frozenset((patient_id, owner))] = shot.number
            if kind.is_swap or (kind is ErrorKind.RESENT and owner != patient_id):
                self._misfiled.add(patient_id)
        for shot, _, _ in plan.delivery.sent():
            if plan.errors.get(shot.number) is ErrorKind.RESENT:
                for uid in of_content[shot.film.content]:
                    self._copies.setdefault(uid, []).append(shot.number)

    def of(self, alert: Mapping[str, Any]) -> Raised:
        """An alert of `archive.alerts.list_alerts`, with what is true about it."""
        kind = AlertKind(alert["kind"])
        error = self._reported(kind, alert)
        patients = {alert["patient_id"], alert["other_patient_id"]}
        return Raised(
            kind,
            alert["probability"],
            alert["state"] == AlertState.HELD,
            error,
            error is None and bool(patients & self._misfiled),
            self._first[alert["patient_id"]] if kind in LABEL_IS_WRONG else None,
        )

    def _wrong_prior(self, uid: str) -> int | None:
        """The first misfiled image among the priors of an image, if they are most of them: it differs from these."""
        priors = self._priors.get(uid, [])
        wrong = [number for number in priors if (kind := self._kind.get(number)) is not None and kind.is_swap]
        return wrong[0] if wrong and 2 * len(wrong) >= len(priors) else None

    def _reported(self, kind: AlertKind, alert: Mapping[str, Any]) -> int | None:
        uid = alert["sop_instance_uid"]
        if kind is AlertKind.DUPLICATE_IMAGE:
            return next(iter(self._copies.get(uid, ())), None)
        if kind is AlertKind.PRIOR_MISMATCH and uid not in self._error:
            return self._wrong_prior(uid)
        if kind in LABEL_IS_WRONG:
            return self._error.get(uid)
        return self._pairs.get(frozenset((alert["patient_id"], alert["other_patient_id"])))
