"""Alerts that close by themselves: why, and images that are judged anew because something about them has changed."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, bindparam, or_, select
from sqlalchemy.orm import Session

from archive.audit import AuditAction, record
from archive.models import Alert, Instance, now
from archive.states import WAITING, AlertKind, AlertState, ImageState, Resolution

# Who closes an alert that closes by itself, in the audit trail.
SYSTEM = "(system)"
UNDECIDED = (*WAITING, AlertState.HELD)

_ACTIONS = {
    Resolution.JOINED: AuditAction.ALERT_JOINED,
    Resolution.CORRECTED: AuditAction.ALERT_CORRECTED,
    Resolution.JUDGED_ANEW: AuditAction.ALERT_NOT_FOUND_AGAIN,
}
# Built once, as it is asked for each image.
_SAID = (
    select(Alert)
    .where(Alert.instance_pk == bindparam("instance"), Alert.state.in_(UNDECIDED), ~Alert.key.startswith("conflict:"))
    .with_for_update()
)


def resolve(session: Session, alert: Alert, why: Resolution) -> None:
    """Close an alert by itself, with the reason in the audit trail; one that is closed so already stays as it is."""
    if alert.state is AlertState.RESOLVED:
        return
    alert.state, alert.resolution = AlertState.RESOLVED, str(why)
    record(session, SYSTEM, _ACTIONS[why], "alert", alert.id, alert.patient_pk)
    session.flush()


def settle(session: Session, instance_id: int, found: str | None) -> None:
    """After an image was judged: close what was said of it before and nobody has decided, unless it was found again.

    What an audit of the whole archive had said closes only if nothing at all was found.

    Args:
        found: key of the finding, None where there is none.
    """
    for alert in session.scalars(_SAID, {"instance": instance_id}):
        if alert.key != found and (found is None or not alert.kind.of_audit):
            resolve(session, alert, Resolution.JUDGED_ANEW)


def judge_anew(session: Session, instance_ids: Iterable[int]) -> None:
    """Have MATCHED images compared again; the reconciler hands them on. Images in other states will be anyway.

    They stay in the gallery meanwhile.
    """
    for number in sorted(set(instance_ids)):
        instance = session.get(Instance, number, with_for_update=True)
        if instance is not None and instance.state is ImageState.MATCHED:
            instance.judge_again, instance.due_at, instance.attempts = True, now(), 0
    session.flush()


def alerts_about(session: Session, patient_pks: Iterable[int], closed_anew: bool = False) -> list[Alert]:
    """Alerts that wait or are held back and name one of these labels.

    Args:
        closed_anew: those too that closed because labels were joined or an image was judged anew.
    """
    labels = sorted(set(patient_pks))
    states: ColumnElement[bool] = Alert.state.in_(UNDECIDED)
    if closed_anew:
        again = (str(Resolution.JOINED), str(Resolution.JUDGED_ANEW))
        states = or_(states, and_(Alert.state == AlertState.RESOLVED, Alert.resolution.in_(again)))
    named = or_(Alert.patient_pk.in_(labels), Alert.other_patient_pk.in_(labels))
    return list(session.scalars(select(Alert).where(states, named).order_by(Alert.id).with_for_update()))


def is_estimate(alert: Alert) -> bool:
    """Whether comparing again may change what an alert says; that one UID came with two files stays true."""
    return alert.kind.finding is not AlertKind.DUPLICATE_IMAGE or alert.evidence.get("cause") == "same_pixels"
