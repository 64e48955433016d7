"""The outbox: everything that is to go out about alerts, which of it is due, was delivered, or is given up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from archive.models import Alert, Notification, now
from archive.progress import LONGEST_REASON, pause_after
from archive.states import AlertKind, AlertState, Channel, NotificationState
from config.settings import Outbox, Settings

# How long one worker has a message for itself; longer than any delivery takes.
LEASE_SECONDS = 600.0


@dataclass(frozen=True)
class Message:
    """A pending message: the alert it is about, without patient data.

    Attributes:
        uuid: the same for every attempt at this message, so that a receiver can drop a repetition.
        created_at: when the alert was raised.
    """

    notification_id: int
    uuid: str
    channel: Channel
    alert_id: int
    kind: AlertKind
    state: AlertState
    probability: float
    created_at: datetime


def enqueue(session: Session, settings: Settings, alert: Alert) -> None:
    """Put a message for each configured channel into the outbox, unless it is or was there."""
    known = set(session.scalars(select(Notification.channel).where(Notification.alert_pk == alert.id)))
    for channel in configured(settings):
        if channel not in known:
            due_at, batch = _when(settings, channel)
            session.add(Notification(alert_pk=alert.id, channel=channel, due_at=due_at, batch=batch))


def configured(settings: Settings) -> tuple[Channel, ...]:
    """The channels on which alerts go out."""
    wanted = {
        Channel.WEBHOOK: bool(settings.notify.webhook_url),
        Channel.EMAIL: bool(settings.email.host),
        Channel.REPORT: bool(settings.results.peer) and settings.results.structured_report,
        Channel.CAPTURE: bool(settings.results.peer) and settings.results.secondary_capture,
    }
    return tuple(channel for channel, on in wanted.items() if on)


def due(session: Session, limit: int) -> list[int]:
    """Ids of pending messages whose time has come and that no worker has, the longest due first.

    Of messages that go out together, the first alone is named.
    """
    query = select(Notification.id).where(
        Notification.state == NotificationState.PENDING, Notification.due_at <= now(), _free(), ~_follows_another()
    )
    return list(session.scalars(query.order_by(Notification.due_at, Notification.id).limit(limit)))


def postpone(session: Session, notification_ids: Collection[int], seconds: float) -> None:
    """Say that messages were just handed to a worker."""
    later = now() + timedelta(seconds=seconds)
    session.execute(update(Notification).where(Notification.id.in_(notification_ids)).values(due_at=later))


def claim(session: Session, notification_id: int) -> tuple[Message, ...]:
    """Take a pending message, and all that go out with it, for one delivery by the caller alone.

    Returns:
        the messages by id; none when the message was delivered, given up, or is with somebody else.
    """
    found = session.get(Notification, notification_id, with_for_update=True)
    if found is None or found.state is not NotificationState.PENDING:
        return ()
    together = [found]
    if found.batch:
        query = select(Notification).where(
            Notification.channel == found.channel,
            Notification.batch == found.batch,
            Notification.state == NotificationState.PENDING,
        )
        together = list(session.scalars(query.order_by(Notification.id).with_for_update()))
    if together[0].id != notification_id or (found.leased_until is not None and found.leased_until > now()):
        return ()
    until = now() + timedelta(seconds=LEASE_SECONDS)
    for each in together:
        each.leased_until = until
    return tuple(_message(session.get_one(Alert, each.alert_pk), each) for each in together)


def record_sent(session: Session, messages: Sequence[Message]) -> None:
    """The other system has accepted the messages."""
    for found in _rows(session, messages):
        found.state, found.reason, found.sent_at, found.leased_until = NotificationState.SENT, "", now(), None


def record_failure(
    session: Session, messages: Sequence[Message], reason: str, options: Outbox
) -> NotificationState | None:
    """Count a failed delivery; the pause doubles each time, and after the last attempt the messages are dead letters.

    Args:
        reason: one sentence without patient data.

    Returns:
        their state afterwards; None when they are gone.
    """
    state: NotificationState | None = None
    for found in _rows(session, messages):
        found.leased_until = None
        if found.state is NotificationState.PENDING:
            found.attempts += 1
            found.reason = reason[:LONGEST_REASON]
            found.due_at = now() + timedelta(seconds=pause_after(found.attempts, options))
            if found.attempts >= options.max_attempts:
                found.state = NotificationState.DEAD
        state = found.state
    return state


def retry(session: Session, notification_id: int) -> bool:
    """Try a message at once that is a dead letter or waits for its next attempt; it has all attempts before it again.

    Returns:
        whether there was anything to try.
    """
    found = session.get(Notification, notification_id, with_for_update=True)
    if found is None or found.state is NotificationState.SENT:
        return False
    found.state, found.attempts, found.reason, found.due_at = NotificationState.PENDING, 0, "", now()
    return True


def unsent(session: Session, uuids: Collection[str]) -> set[str]:
    """Those of these messages that wait or were given up."""
    found = select(Notification.uuid).where(Notification.uuid.in_(uuids), Notification.state != NotificationState.SENT)
    return set(session.scalars(found))


def list_messages(session: Session, states: Collection[NotificationState], most: int = 1000) -> list[dict[str, Any]]:
    """Messages in some states as other programs read them, the oldest first; times are ISO 8601 in UTC."""
    query = select(Notification).where(Notification.state.in_(states)).order_by(Notification.id).limit(most)
    return [
        {
            "id": found.id,
            "channel": found.channel.value,
            "alert": found.alert_pk,
            "state": found.state.value,
            "attempts": found.attempts,
            "reason": found.reason,
            "created": found.created_at.isoformat(),
            "due": found.due_at.isoformat() if found.state is NotificationState.PENDING else None,
            "sent": found.sent_at.isoformat() if found.sent_at else None,
        }
        for found in session.scalars(query)
    ]


def _when(settings: Settings, channel: Channel) -> tuple[datetime, str]:
    """When a new message goes out, and the name under which messages are collected until then, "" for none."""
    moment, minutes = now(), settings.email.digest_minutes
    if channel is not Channel.EMAIL or not minutes:
        return moment, ""
    period = minutes * 60
    end = datetime.fromtimestamp((int(moment.timestamp()) // period + 1) * period, UTC)
    return end, end.strftime("%Y%m%dT%H%M%SZ")


def _free() -> ColumnElement[bool]:
    return or_(Notification.leased_until.is_(None), Notification.leased_until <= now())


def _follows_another() -> ColumnElement[bool]:
    earlier = aliased(Notification)
    return exists().where(
        Notification.batch != "",
        earlier.batch == Notification.batch,
        earlier.channel == Notification.channel,
        earlier.state == NotificationState.PENDING,
        earlier.id < Notification.id,
    )


def _rows(session: Session, messages: Sequence[Message]) -> list[Notification]:
    ids = [message.notification_id for message in messages]
    query = select(Notification).where(Notification.id.in_(ids)).order_by(Notification.id)
    return list(session.scalars(query.with_for_update()))


def _message(alert: Alert, found: Notification) -> Message:
    return Message(
        found.id, found.uuid, found.channel, alert.id, alert.kind, alert.state, alert.probability, alert.created_at
    )
