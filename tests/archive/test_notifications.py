"""The outbox: what is due, what goes out together, when it is tried again, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import select, update

from archive import notifications
from archive.alerts import Finding, label_key, raise_alert
from archive.database import Database
from archive.models import Notification, now
from archive.notifications import LEASE_SECONDS
from archive.states import AlertKind, Channel, NotificationState
from config.settings import Settings
from tests.filed import file_image
from tests.workers.messages import with_options

HOOK = {"webhook_url": "http://127.0.0.1/hook"}
MAIL = {"host": "mail.example", "sender": "lungprint@hospital.example", "recipients": ("qa@hospital.example",)}


def raised(database: Database, settings: Settings, count: int = 1) -> list[int]:
    """Raise alerts about new images; returns the ids of all messages."""
    with database.write() as session:
        for number in range(count):
            image = file_image(session, f"P{number}")
            raise_alert(
                session,
                settings,
                Finding(label_key(image.id), AlertKind.WRONG_PATIENT, 0.5, image.id, image.patient_pk),
            )
        session.flush()
        return list(session.scalars(select(Notification.id).order_by(Notification.id)))


def later(database: Database, seconds: float) -> None:
    """Let time pass for all messages."""
    back = timedelta(seconds=seconds)
    with database.write() as session:
        for found in session.scalars(select(Notification)):
            found.due_at -= back
            found.leased_until = found.leased_until and found.leased_until - back


def test_an_alert_goes_out_on_every_channel_that_is_configured(database: Database, settings: Settings) -> None:
    raised(database, with_options(settings, notify=HOOK, email=MAIL))
    with database.read() as session:
        assert set(session.scalars(select(Notification.channel))) == {Channel.WEBHOOK, Channel.EMAIL}


def test_nothing_goes_out_where_nothing_is_configured(database: Database, settings: Settings) -> None:
    assert raised(database, settings) == []


def test_the_pause_grows_to_a_day_and_then_the_message_is_dead(database: Database, settings: Settings) -> None:
    [number] = raised(database, with_options(settings, notify=HOOK))
    pauses = []
    while True:
        with database.write() as session:
            messages = notifications.claim(session, number)
            state = notifications.record_failure(session, messages, "no", settings.outbox)
            if state is NotificationState.DEAD:
                break
            pauses.append((session.get_one(Notification, number).due_at - now()).total_seconds())
    assert len(pauses) == settings.outbox.max_attempts - 1
    assert all(longer > shorter for shorter, longer in pairwise(pauses))
    assert pauses[-1] == pytest.approx(86_400, abs=5)
    assert sum(pauses) > 2.5 * 86_400


def test_a_dead_message_can_be_revived_and_has_all_attempts_again(database: Database, settings: Settings) -> None:
    options = with_options(settings, notify=HOOK)
    [number] = raised(database, options)
    with database.write() as session:
        for _ in range(3):
            notifications.record_failure(session, notifications.claim(session, number), "no", options.outbox)
        assert session.get_one(Notification, number).state is NotificationState.DEAD
        assert notifications.due(session, 10) == []
        assert notifications.retry(session, number)
        assert notifications.due(session, 10) == [number]
        assert session.get_one(Notification, number).attempts == 0


def test_a_message_that_waits_for_its_next_attempt_can_be_sent_at_once(database: Database, settings: Settings) -> None:
    [number] = raised(database, with_options(settings, notify=HOOK))
    with database.write() as session:
        notifications.record_failure(session, notifications.claim(session, number), "no", settings.outbox)
        assert notifications.due(session, 10) == []
        assert notifications.retry(session, number)
        assert notifications.due(session, 10) == [number]


def test_what_was_sent_is_never_sent_again(database: Database, settings: Settings) -> None:
    [number] = raised(database, with_options(settings, notify=HOOK))
    with database.write() as session:
        notifications.record_sent(session, notifications.claim(session, number))
        assert notifications.claim(session, number) == ()
        assert not notifications.retry(session, number)
    later(database, 2 * LEASE_SECONDS)
    with database.read() as session:
        assert notifications.due(session, 10) == []


def test_a_message_whose_worker_was_killed_is_due_again(database: Database, settings: Settings) -> None:
    [number] = raised(database, with_options(settings, notify=HOOK))
    with database.write() as session:
        assert notifications.claim(session, number)
    with database.read() as session:
        assert notifications.due(session, 10) == []
    later(database, LEASE_SECONDS + 1)
    with database.write() as session:
        assert notifications.due(session, 10) == [number]
        assert notifications.claim(session, number)


def test_alerts_of_one_period_go_out_together_when_it_ends(database: Database, settings: Settings) -> None:
    numbers = raised(database, with_options(settings, email={**MAIL, "digest_minutes": 60}), count=3)
    with database.write() as session:
        assert notifications.due(session, 10) == []
        [end] = set(session.scalars(select(Notification.due_at)))
        assert now() < end <= now() + timedelta(hours=1) and end.minute == end.second == 0
        # The hour may have ended while the alerts were raised.
        session.execute(update(Notification).values(batch="one"))
    later(database, 3600)
    with database.write() as session:
        assert notifications.due(session, 10) == numbers[:1]
        assert notifications.claim(session, numbers[1]) == ()
        together = notifications.claim(session, numbers[0])
        assert [message.notification_id for message in together] == numbers
        notifications.record_sent(session, together)
    with database.read() as session:
        assert set(session.scalars(select(Notification.state))) == {NotificationState.SENT}


def test_a_digest_that_fails_stays_together(database: Database, settings: Settings) -> None:
    options = with_options(settings, email={**MAIL, "digest_minutes": 1})
    numbers = raised(database, options, count=2)
    with database.write() as session:
        session.execute(update(Notification).values(batch="one", due_at=datetime(2024, 1, 1, tzinfo=UTC)))
        notifications.record_failure(session, notifications.claim(session, numbers[0]), "no", options.outbox)
        assert notifications.due(session, 10) == []
    later(database, 60)
    with database.write() as session:
        assert notifications.due(session, 10) == numbers[:1]
        assert len(notifications.claim(session, numbers[0])) == 2
