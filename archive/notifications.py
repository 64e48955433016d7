"""Messages about alerts to other systems: which are due, which were delivered, which are given up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from archive.models import Alert, Notification, now
from archive.progress import LONGEST_REASON, pause_after
from archive.states import NotificationState
from config.settings import Workers


@dataclass(frozen=True)
class Message:
    """A pending message: the alert it is about, without patient data."""

    notification_id: int
    target: str
    alert_id: int
    kind: str
    probability: float
    created_at: datetime


def pending(session: Session, notification_id: int) -> Message | None:
    """The message with an id, as long as it was neither delivered nor given up."""
    found = session.get(Notification, notification_id)
    if found is None or found.state is not NotificationState.PENDING:
        return None
    alert = session.get_one(Alert, found.alert_pk)
    return Message(found.id, found.target, alert.id, alert.kind.value, alert.probability, alert.created_at)


def due(session: Session, limit: int) -> list[int]:
    """Ids of pending messages whose time has come, the longest due first."""
    query = select(Notification.id).where(Notification.state == NotificationState.PENDING, Notification.due_at <= now())
    return list(session.scalars(query.order_by(Notification.due_at, Notification.id).limit(limit)))


def postpone(session: Session, notification_ids: list[int], seconds: float) -> None:
    """Say that messages were just handed to a worker."""
    later = now() + timedelta(seconds=seconds)
    session.execute(update(Notification).where(Notification.id.in_(notification_ids)).values(due_at=later))


def record_sent(session: Session, notification_id: int) -> None:
    """The other system has accepted the message."""
    found = session.get_one(Notification, notification_id, with_for_update=True)
    found.state, found.reason = NotificationState.SENT, ""


def record_failure(session: Session, notification_id: int, reason: str, options: Workers) -> NotificationState:
    """Count a failed delivery; the pause doubles each time, and after the last attempt the message is dead.

    Returns:
        the message's state afterwards.
    """
    found = session.get_one(Notification, notification_id, with_for_update=True)
    if found.state is not NotificationState.PENDING:
        return found.state
    found.attempts += 1
    found.reason = reason[:LONGEST_REASON]
    found.due_at = now() + timedelta(seconds=pause_after(found.attempts, options))
    if found.attempts >= options.max_attempts:
        found.state = NotificationState.DEAD
    return found.state


def retry(session: Session, notification_id: int) -> bool:
    """Give a dead message another try; returns whether it was dead."""
    found = session.get(Notification, notification_id, with_for_update=True)
    if found is None or found.state is not NotificationState.DEAD:
        return False
    found.state, found.attempts, found.due_at = NotificationState.PENDING, 0, now()
    return True
