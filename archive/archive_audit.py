"""What an audit of the whole archive found, as alerts of their own kinds, ranked among themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.alerts import Finding, describe, is_decided
from archive.models import Alert, now
from archive.resolution import resolve
from archive.states import AUDIT_KINDS, AlertState, Resolution


@dataclass(frozen=True)
class AuditAlert:
    """A finding of an audit and the alert about it; `known` if that alert was raised by no audit."""

    finding: Finding
    alert: Alert
    known: bool


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Facts first, then the most probable; of findings with the same key the most probable alone."""
    best: dict[str, Finding] = {}
    for finding in findings:
        if finding.key not in best or finding.probability > best[finding.key].probability:
            best[finding.key] = finding
    return sorted(best.values(), key=lambda one: (not one.is_fact, -one.probability, one.key))


def raise_audit_alerts(session: Session, findings: Sequence[Finding], most_open: int) -> list[AuditAlert]:
    """Make the archive's audit alerts equal to what an audit has found; the same findings again change nothing.

    Facts and the `most_open` most probable estimates that wait for a person are OPEN, other estimates HELD. An alert
    that a live image has raised about the same thing stays as it is, and so does every alert that a person has decided
    about. An earlier audit's alert that is not found any more closes, and opens again if it is. No messages go to other
    systems.

    Args:
        session: of `Database.write`.
        findings: each of a live kind; it is turned into the audit's.

    Returns:
        the findings as `ranked`, with their alerts.
    """
    moment = now()
    raised: list[AuditAlert] = []
    for finding in ranked(findings):
        audited = replace(finding, kind=finding.kind.audited)
        alert = session.scalar(select(Alert).where(Alert.key == finding.key).with_for_update())
        if alert is None:
            alert = Alert(key=finding.key, kind=audited.kind, state=AlertState.HELD, created_at=moment)
            describe(alert, audited)
            session.add(alert)
        elif alert.kind.of_audit and _waits(session, alert):
            alert.state, alert.resolution = AlertState.HELD, ""
            describe(alert, audited)
        raised.append(AuditAlert(audited, alert, not alert.kind.of_audit))
    session.flush()
    _open_the_most_probable(session, raised, most_open)
    session.flush()
    return raised


def _open_the_most_probable(session: Session, raised: Sequence[AuditAlert], most_open: int) -> None:
    found = {one.alert.id for one in raised}
    waiting = select(Alert).where(Alert.kind.in_(AUDIT_KINDS), Alert.state.in_((AlertState.OPEN, AlertState.HELD)))
    for alert in session.scalars(waiting):
        if alert.id not in found and _waits(session, alert):
            resolve(session, alert, Resolution.JUDGED_ANEW)
    room = most_open
    for one in raised:
        if one.known or not _waits(session, one.alert):
            continue
        is_open = one.finding.is_fact or room > 0
        room -= is_open and not one.finding.is_fact
        one.alert.state = AlertState.OPEN if is_open else AlertState.HELD


def _waits(session: Session, alert: Alert) -> bool:
    """Whether an audit may change an alert: nobody has decided about it, and at most an audit has closed it."""
    closed = alert.state is AlertState.RESOLVED and alert.resolution != Resolution.JUDGED_ANEW
    return not closed and alert.state is not AlertState.UNDER_INVESTIGATION and not is_decided(session, alert)
