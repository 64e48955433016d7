"""How the demo went: each planted error found or missed, and every alert that should not have been raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.alerts import list_alerts
from archive.models import Instance
from archive.states import AlertKind, AlertState, ImageState
from cli.demonstration.stream import Planted, Shot

# Either says that the label is wrong; which of them depends on whether the right patient was recognised, too.
LABEL_IS_WRONG = (AlertKind.WRONG_PATIENT, AlertKind.PRIOR_MISMATCH)


@dataclass(frozen=True)
class Sent:
    """A shot as the system knows it."""

    shot: Shot[Any]
    uid: str
    patient_id: str
    state: ImageState | None


@dataclass(frozen=True)
class Find:
    """A planted error and the alert that reported it, or None when it was missed."""

    sent: Sent
    alert: Mapping[str, Any] | None


@dataclass(frozen=True)
class Score:
    """The outcome of a run.

    Attributes:
        sent: every shot.
        finds: one for each planted error.
        false: alerts about images that were sent rightly.
        echoes: alerts about right images that point at a planted error, because it now stands among their priors.
    """

    sent: Sequence[Sent]
    finds: Sequence[Find]
    false: Sequence[Mapping[str, Any]] = field(default=())
    echoes: Sequence[Mapping[str, Any]] = field(default=())

    def count(self, planted: Planted) -> tuple[int, int]:
        """How many were sent as this, and how many of them came out as they should."""
        if planted is Planted.NOTHING:
            flagged = {alert["sop_instance_uid"] for alert in self.false}
            right = [one for one in self.sent if one.shot.planted is planted]
            return len(right), sum(one.uid not in flagged for one in right)
        if planted is Planted.LATERAL:
            lateral = [one for one in self.sent if one.shot.planted is planted]
            return len(lateral), sum(one.state is ImageState.UNSUITABLE for one in lateral)
        finds = [find for find in self.finds if find.sent.shot.planted is planted]
        return len(finds), sum(find.alert is not None for find in finds)

    @property
    def unsettled(self) -> int:
        """Images that were never stored, are still on their way or were given up."""
        return sum(one.state not in (ImageState.MATCHED, ImageState.UNSUITABLE) for one in self.sent)

    @property
    def succeeded(self) -> bool:
        """Whether everything was processed and more than half of the misfiled images were flagged."""
        swapped, found = self.count(Planted.WRONG_PATIENT)
        return self.unsettled == 0 and 2 * found > swapped


def score(session: Session, shots: Sequence[tuple[Shot[Any], str, str]]) -> Score:
    """Compare what was sent with what the system says.

    Args:
        shots: each with its SOP Instance UID and the Patient ID in its header.
    """
    rows = session.execute(select(Instance.sop_instance_uid, Instance.state))
    states: dict[str, ImageState] = {row.sop_instance_uid: row.state for row in rows}
    sent = [Sent(shot, uid, patient_id, states.get(uid)) for shot, uid, patient_id in shots]
    # What the alert budget holds back, nobody sees.
    alerts = [alert for alert in list_alerts(session) if alert["state"] != AlertState.HELD]
    finds = [Find(one, _about(one, sent, alerts)) for one in sent if not one.shot.is_right]
    used = {find.alert["id"] for find in finds if find.alert is not None}
    planted = {one.uid for one in sent if not one.shot.is_right}
    # An image that was sent twice is flagged as well when its copy happens to be looked at first.
    twice = {one.shot.film.content for one in sent if one.shot.planted is Planted.DUPLICATE_IMAGE}
    planted |= {one.uid for one in sent if one.shot.film.content in twice}
    others = [alert for alert in alerts if alert["id"] not in used and alert["sop_instance_uid"] not in planted]
    echoes = [alert for alert in others if alert["other_sop_instance_uid"] in planted]
    return Score(sent, finds, [alert for alert in others if alert not in echoes], echoes)


def _about(one: Sent, sent: Sequence[Sent], alerts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The alert that reports a planted error: of the right kind, about the right image or the right two records."""
    if one.shot.planted is Planted.WRONG_PATIENT:
        return _first(a for a in alerts if a["kind"] in LABEL_IS_WRONG and a["sop_instance_uid"] == one.uid)
    if one.shot.planted is Planted.DUPLICATE_RECORD:
        labels = {one.patient_id} | {s.patient_id for s in sent if s.shot.label == one.shot.film.person}
        return _first(
            a
            for a in alerts
            if a["kind"] == AlertKind.DUPLICATE_RECORD and {a["patient_id"], a["other_patient_id"]} == labels
        )
    copies = {s.uid for s in sent if s.shot.film.content == one.shot.film.content}
    return _first(a for a in alerts if a["kind"] == AlertKind.DUPLICATE_IMAGE and a["sop_instance_uid"] in copies)


def _first(alerts: Any) -> Mapping[str, Any] | None:
    return next(iter(alerts), None)
