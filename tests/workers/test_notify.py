"""Webhooks to a real server: what it gets, and what happens when it does not want it."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import select

from archive import notifications
from archive.alerts import Finding, raise_alert
from archive.database import Database
from archive.models import Instance, Notification, Patient, now
from archive.states import AlertKind, NotificationState
from config.settings import Settings
from tests.workers.conftest import AddImage
from workers.notify import notify

SECRET = "a shared secret"


class Receiver(ThreadingHTTPServer):
    """A web server that remembers what it got and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = 204
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    """Keeps each POST."""

    server: Receiver

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), content))
        self.send_response(self.server.answer)
        if self.server.answer == 302:
            self.send_header("Location", self.server.url)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def configured(settings: Settings, url: str, secret: str = SECRET) -> Settings:
    options = settings.notify.model_copy(update={"webhook_url": url, "webhook_secret": secret})
    workers = settings.workers.model_copy(update={"max_attempts": 3})
    return settings.model_copy(update={"notify": options, "workers": workers})


@pytest.fixture
def notification_id(database: Database, settings: Settings, add_image: AddImage) -> int:
    """The message about an alert on a patient named Doe."""
    instance_id = add_image(b"some image")
    with database.write() as session:
        patient = session.get_one(Patient, session.get_one(Instance, instance_id).patient_pk)
        patient.name, patient.patient_id, patient.birth_date = "Doe^Jane", "SECRET-77", "19700101"
        finding = Finding("label:1", AlertKind.WRONG_PATIENT, 0.75, instance_id, patient.id)
        alert = raise_alert(session, configured(settings, "http://webhook.example"), finding)
        return session.scalars(select(Notification.id).where(Notification.alert_pk == alert.id)).one()


def message(database: Database, notification_id: int) -> Notification:
    with database.read() as session:
        return session.get_one(Notification, notification_id)


def test_the_receiver_gets_a_signed_message_without_patient_data(
    database: Database, settings: Settings, receiver: Receiver, notification_id: int
) -> None:
    assert notify(database, configured(settings, receiver.url), notification_id)
    [(headers, content)] = receiver.got
    expected = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    assert headers["X-Lungprint-Signature"] == f"sha256={expected}"
    said = json.loads(content)
    assert (said["kind"], said["probability"], said["path"]) == ("wrong_patient", 0.75, f"/alerts/{said['alert']}")
    assert not any(word in content.decode() for word in ("Doe", "SECRET-77", "1970", "1.2.3"))
    assert message(database, notification_id).state is NotificationState.SENT


def test_without_a_secret_nothing_is_signed(
    database: Database, settings: Settings, receiver: Receiver, notification_id: int
) -> None:
    notify(database, configured(settings, receiver.url, secret=""), notification_id)
    assert "X-Lungprint-Signature" not in receiver.got[0][0]


def test_a_second_delivery_of_the_task_sends_nothing(
    database: Database, settings: Settings, receiver: Receiver, notification_id: int
) -> None:
    for _ in range(2):
        notify(database, configured(settings, receiver.url), notification_id)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("answer", [500, 404, 302])
def test_a_refused_message_is_tried_again_until_it_is_dead(
    database: Database, settings: Settings, receiver: Receiver, notification_id: int, answer: int
) -> None:
    receiver.answer = answer
    options = configured(settings, receiver.url)
    for attempt in (1, 2):
        assert not notify(database, options, notification_id)
        found = message(database, notification_id)
        assert (found.state, found.attempts) == (NotificationState.PENDING, attempt)
        assert found.reason == f"the webhook answered with HTTP status {answer}"
        pause = options.workers.retry_seconds * 2 ** (attempt - 1)
        assert timedelta(seconds=pause - 2) < found.due_at - now() <= timedelta(seconds=pause)
    notify(database, options, notification_id)
    assert message(database, notification_id).state is NotificationState.DEAD
    notify(database, options, notification_id)
    assert len(receiver.got) == 3


def test_a_message_gets_through_once_the_receiver_is_well_again(
    database: Database, settings: Settings, receiver: Receiver, notification_id: int
) -> None:
    options = configured(settings, receiver.url)
    receiver.answer = 503
    notify(database, options, notification_id)
    receiver.answer = 200
    assert notify(database, options, notification_id)
    first, second = receiver.got
    assert first[1] == second[1] and first[0]["X-Lungprint-Delivery"] == second[0]["X-Lungprint-Delivery"]


def test_nobody_listening_is_a_failed_attempt_that_names_no_url(
    database: Database, settings: Settings, notification_id: int
) -> None:
    assert not notify(database, configured(settings, "http://127.0.0.1:1/secret-path"), notification_id)
    assert message(database, notification_id).reason == "the webhook did not answer (ConnectionRefusedError)"


def test_a_dead_message_can_be_revived(database: Database, settings: Settings, notification_id: int) -> None:
    with database.write() as session:
        for _ in range(settings.workers.max_attempts):
            notifications.record_failure(session, notification_id, "no", settings.workers)
        assert notifications.due(session, 10) == []
        assert notifications.retry(session, notification_id)
        assert notifications.due(session, 10) == [notification_id]
