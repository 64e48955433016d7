"""E-mail to a real mail server: what arrives, how the server is trusted, and what happens when it says no."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from sqlalchemy import update

from archive import notifications
from archive.database import Database
from archive.models import Alert, Notification, now
from archive.states import AlertState, NotificationState
from config.paths import DataDir
from config.settings import Settings
from tests.ports import free_port
from tests.workers.conftest import AddImage
from tests.workers.messages import PATIENT_WORDS, desk, raise_about, stored, with_options
from workers.delivery import Desk
from workers.notify import notify

USER, PASSWORD = "lungprint", "open sesame"


class Mailbox:
    """Keeps what the server accepts; refuses what it is told to."""

    def __init__(self) -> None:
        self.letters: list[Any] = []
        self.refused: set[str] = set()
        self.answer = "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Envelope
    ) -> str:
        if self.answer.startswith("250"):
            self.letters.append(email.message_from_bytes(envelope.content or b"", policy=email.policy.default))
        return self.answer


def _authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, login: LoginPassword) -> AuthResult:
    # Not handled: the server itself then answers with 535.
    return AuthResult(success=(login.login, login.password) == (USER.encode(), PASSWORD.encode()), handled=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def server(mailbox: Mailbox, authority: trustme.CA) -> Iterator[Controller]:
    """A mail server with STARTTLS that takes letters from one user alone."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        authenticator=_authenticate,
        auth_required=True,
    )
    controller.start()
    yield controller
    controller.stop()


@pytest.fixture
def options(server: Controller, authority: trustme.CA, tmp_path: Path) -> dict[str, Any]:
    """The section [email] for the server."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return {
        "host": "127.0.0.1",
        "port": server.port,
        "user": USER,
        "password": PASSWORD,
        "ca_file": str(ca_file),
        "sender": "Lungprint <lungprint@hospital.example>",
        "recipients": ("qa@hospital.example", "night@hospital.example"),
    }


@pytest.fixture
def post(database: Database, settings: Settings, folder: DataDir, options: dict[str, Any]) -> Desk:
    links = {"dashboard_url": "https://lungprint.example"}
    return desk(database, with_options(settings, email=options, notify=links), folder)


def changed(post: Desk, **options: Any) -> Desk:
    return desk(post.database, with_options(post.settings, email=options), post.folder)


def test_an_alert_arrives_over_tls_without_patient_data(post: Desk, mailbox: Mailbox, add_image: AddImage) -> None:
    [number] = raise_about(post.database, post.settings, add_image(b"image"))
    assert notify(post, number)
    [letter] = mailbox.letters
    assert letter["Subject"] == "Lungprint: wrong patient (alert 1)"
    assert letter["To"] == "qa@hospital.example, night@hospital.example"
    assert letter["Message-ID"] == f"<{stored(post.database, number).uuid}@hospital.example>"
    text = letter.get_content()
    assert "Alert 1: wrong patient, probability 75 %" in text
    assert "https://lungprint.example/alerts/1" in text
    assert not any(word in letter.as_string() for word in PATIENT_WORDS)


def test_a_digest_names_every_alert_and_says_what_was_decided_meanwhile(
    post: Desk, mailbox: Mailbox, add_image: AddImage
) -> None:
    digest = changed(post, digest_minutes=60)
    numbers = [
        number
        for at, probability in enumerate((0.3, 0.9))
        for number in raise_about(digest.database, digest.settings, add_image(bytes([at])), probability)
    ]
    with digest.database.write() as session:
        session.execute(update(Notification).values(batch="one", due_at=now()))
        session.execute(update(Alert).where(Alert.id == 1).values(state=AlertState.NOT_AN_ERROR))
    assert notify(digest, numbers[0])
    [letter] = mailbox.letters
    assert letter["Subject"] == "Lungprint: 2 alerts"
    text = letter.get_content()
    assert text.index("Alert 2") < text.index("Alert 1")
    assert "probability 30 %" in text and "meanwhile not an error" in text
    assert {stored(digest.database, number).state for number in numbers} == {NotificationState.SENT}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"ca_file": ""}, "the mail server's certificate or TLS is not usable (SSLCertVerificationError)"),
        ({"ca_file": "/nowhere.pem"}, "the file email.ca_file is no readable file of certificates"),
        ({"password": "guess"}, "the mail server refused the user or the password"),
        ({"security": "none", "user": "", "password": ""}, "the mail server answered with code 530"),
        ({"port": 1}, "the mail server did not answer (ConnectionRefusedError)"),
        ({"host": ""}, "no mail server is configured any more"),
    ],
)
def test_whatever_goes_wrong_is_one_sentence_and_another_attempt(
    post: Desk, mailbox: Mailbox, add_image: AddImage, wrong: dict[str, Any], reason: str
) -> None:
    [number] = raise_about(post.database, post.settings, add_image(b"image"))
    assert not notify(changed(post, **wrong), number)
    found = stored(post.database, number)
    assert (found.state, found.attempts, found.reason) == (NotificationState.PENDING, 1, reason)
    with post.database.write() as session:
        notifications.retry(session, number)
    assert notify(post, number)
    assert len(mailbox.letters) == 1


def test_a_letter_that_is_refused_is_tried_again(post: Desk, mailbox: Mailbox, add_image: AddImage) -> None:
    [number] = raise_about(post.database, post.settings, add_image(b"image"))
    mailbox.answer = "452 no space"
    assert not notify(post, number)
    assert stored(post.database, number).reason == "the mail server answered with code 452"


def test_one_wrong_address_does_not_keep_the_letter_from_the_others(
    post: Desk, mailbox: Mailbox, add_image: AddImage
) -> None:
    [number] = raise_about(post.database, post.settings, add_image(b"image"))
    mailbox.refused = {"night@hospital.example"}
    assert notify(post, number)
    assert len(mailbox.letters) == 1


def test_a_letter_that_nobody_may_get_is_tried_again(post: Desk, mailbox: Mailbox, add_image: AddImage) -> None:
    [number] = raise_about(post.database, post.settings, add_image(b"image"))
    mailbox.refused = {"qa@hospital.example", "night@hospital.example"}
    assert not notify(post, number)
    assert stored(post.database, number).reason == "the mail server refused all recipients"
