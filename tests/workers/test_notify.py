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

from archive import notifications
from archive.database import Database
from archive.models import now
from archive.states import NotificationState
from config.paths import DataDir
from config.settings import Settings
from tests.workers.conftest import AddImage
from tests.workers.messages import PATIENT_WORDS, desk, raise_about, stored, with_options
from workers.delivery import Desk
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


@pytest.fixture
def notification_id(database: Database, settings: Settings, add_image: AddImage) -> int:
    """The message about an alert on a patient named Doe."""
    options = with_options(settings, notify={"webhook_url": "http://webhook.example"})
    return raise_about(database, options, add_image(b"some image"))[0]


@pytest.fixture
def webhook(database: Database, settings: Settings, folder: DataDir, receiver: Receiver) -> Desk:
    """A desk that posts to the receiver."""
    options = {"webhook_url": receiver.url, "webhook_secret": SECRET, "dashboard_url": "https://lungprint.example/"}
    return desk(database, with_options(settings, notify=options), folder)


def test_the_receiver_gets_a_signed_message_without_patient_data(
    webhook: Desk, receiver: Receiver, notification_id: int
) -> None:
    assert notify(webhook, notification_id)
    [(headers, content)] = receiver.got
    expected = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    assert headers["X-Lungprint-Signature"] == f"sha256={expected}"
    said = json.loads(content)
    assert (said["kind"], said["probability"]) == ("wrong_patient", 0.75)
    assert said["link"] == f"https://lungprint.example/alerts/{said['alert']}"
    assert said["delivery"] == headers["X-Lungprint-Delivery"]
    assert not any(word in content.decode() for word in PATIENT_WORDS)
    sent = stored(webhook.database, notification_id)
    assert sent.state is NotificationState.SENT and sent.sent_at is not None


def test_patient_data_goes_out_where_the_site_asks_for_it(
    database: Database, settings: Settings, folder: DataDir, receiver: Receiver, notification_id: int
) -> None:
    options = with_options(settings, notify={"webhook_url": receiver.url, "webhook_patient_data": True})
    assert notify(desk(database, options, folder), notification_id)
    details = json.loads(receiver.got[0][1])["details"]
    assert (details["patient_id"], details["sop_instance_uid"]) == ("SECRET-771", "1.2.3.1")


def test_without_a_secret_nothing_is_signed(
    database: Database, settings: Settings, folder: DataDir, receiver: Receiver, notification_id: int
) -> None:
    notify(desk(database, with_options(settings, notify={"webhook_url": receiver.url}), folder), notification_id)
    assert "X-Lungprint-Signature" not in receiver.got[0][0]


def test_a_second_delivery_of_the_task_sends_nothing(webhook: Desk, receiver: Receiver, notification_id: int) -> None:
    for _ in range(2):
        notify(webhook, notification_id)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("answer", [500, 404, 302])
def test_a_refused_message_is_tried_again_until_it_is_dead(
    webhook: Desk, receiver: Receiver, notification_id: int, answer: int
) -> None:
    receiver.answer = answer
    for attempt in (1, 2):
        assert not notify(webhook, notification_id)
        found = stored(webhook.database, notification_id)
        assert (found.state, found.attempts) == (NotificationState.PENDING, attempt)
        assert found.reason == f"the webhook answered with HTTP status {answer}"
        pause = webhook.settings.outbox.retry_seconds * 2 ** (attempt - 1)
        assert timedelta(seconds=pause - 2) < found.due_at - now() <= timedelta(seconds=pause)
    notify(webhook, notification_id)
    assert stored(webhook.database, notification_id).state is NotificationState.DEAD
    notify(webhook, notification_id)
    assert len(receiver.got) == 3


def test_a_message_gets_through_once_the_receiver_is_well_again(
    webhook: Desk, receiver: Receiver, notification_id: int
) -> None:
    receiver.answer = 503
    notify(webhook, notification_id)
    receiver.answer = 200
    assert notify(webhook, notification_id)
    first, second = receiver.got
    assert first[1] == second[1] and first[0]["X-Lungprint-Delivery"] == second[0]["X-Lungprint-Delivery"]


def test_nobody_listening_is_a_failed_attempt_that_names_no_url(
    database: Database, settings: Settings, folder: DataDir, notification_id: int
) -> None:
    nobody = with_options(settings, notify={"webhook_url": "http://127.0.0.1:1/secret-path"})
    assert not notify(desk(database, nobody, folder), notification_id)
    assert stored(database, notification_id).reason == "the webhook did not answer (ConnectionRefusedError)"


def test_a_message_that_cannot_be_made_is_a_failed_attempt_too(
    database: Database, settings: Settings, folder: DataDir, notification_id: int
) -> None:
    broken = with_options(settings, notify={"webhook_url": "http://[::1/"})
    assert not notify(desk(database, broken, folder), notification_id)
    found = stored(database, notification_id)
    assert (found.attempts, found.state) == (1, NotificationState.PENDING)
    assert found.reason == "the message could not be made (ValueError)"


def test_a_message_that_another_worker_has_is_left_to_it(
    webhook: Desk, receiver: Receiver, notification_id: int
) -> None:
    with webhook.database.write() as session:
        assert notifications.claim(session, notification_id)
        assert notifications.due(session, 10) == []
    assert not notify(webhook, notification_id)
    assert receiver.got == []
