"""Delivers what is in the outbox, each message on its channel, until the other system has taken it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from archive import notifications
from archive.notifications import Message
from archive.states import Channel
from workers import mail, webhook
from workers.delivery import Desk, NotDelivered

logger = logging.getLogger(__name__)


def notify(desk: Desk, notification_id: int) -> bool:
    """Deliver one message, with those that go out together with it, or plan its next attempt.

    A message that was delivered is never sent again; one that another worker has is left to it.

    Returns:
        whether it was delivered by this call.
    """
    with desk.database.write() as session:
        messages = notifications.claim(session, notification_id)
    if not messages:
        return False
    try:
        _channel(messages[0].channel)(desk, messages)
    except NotDelivered as error:
        _failed(desk, messages, str(error))
        return False
    except Exception as error:
        # Whatever is wrong with one message, it must end as a dead letter that somebody sees.
        logger.exception("message %d was not made", notification_id)
        _failed(desk, messages, f"the message could not be made ({type(error).__name__})")
        return False
    with desk.database.write() as session:
        notifications.record_sent(session, messages)
    return True


def _channel(channel: Channel) -> Callable[[Desk, Sequence[Message]], None]:
    if channel is Channel.WEBHOOK:
        return webhook.deliver
    if channel is Channel.EMAIL:
        return mail.deliver
    from workers import results  # pydicom and pynetdicom, which no other task of the workers needs

    return results.deliver_report if channel is Channel.REPORT else results.deliver_capture


def _failed(desk: Desk, messages: Sequence[Message], reason: str) -> None:
    with desk.database.write() as session:
        state = notifications.record_failure(session, messages, reason, desk.settings.outbox)
    first = messages[0]
    logger.warning(
        "message %d (%s) about alert %d is %s: %s", first.notification_id, first.channel, first.alert_id, state, reason
    )
