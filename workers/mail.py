"""Tells people about alerts by e-mail: one message for one alert, or for all of a period, without patient data."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime

from archive.models import now
from archive.notifications import Message
from archive.states import WAITING
from config.settings import Email
from workers.delivery import Desk, NotDelivered, link

logger = logging.getLogger(__name__)


def deliver(desk: Desk, messages: Sequence[Message]) -> None:
    """Hand one e-mail about all the messages to the mail server.

    The Message-ID is the same for every attempt, so that a repetition is one e-mail in most mailboxes.

    Raises:
        NotDelivered: no server is set, it cannot be reached or trusted, or it takes none of the recipients.
    """
    options = desk.settings.email
    if not options.host:
        raise NotDelivered("no mail server is configured any more")
    letter = compose(desk, messages)
    try:
        with _server(options, desk.settings.outbox.timeout_seconds) as server:
            if options.user:
                server.login(options.user, options.password)
            refused = server.send_message(letter)
    except smtplib.SMTPAuthenticationError as error:
        raise NotDelivered("the mail server refused the user or the password") from error
    except smtplib.SMTPRecipientsRefused as error:
        raise NotDelivered("the mail server refused all recipients") from error
    except smtplib.SMTPResponseException as error:
        raise NotDelivered(f"the mail server answered with code {error.smtp_code}") from error
    except smtplib.SMTPNotSupportedError as error:
        raise NotDelivered("the mail server does not offer what email.security or email.user asks for") from error
    except ssl.SSLError as error:
        raise NotDelivered(f"the mail server's certificate or TLS is not usable ({type(error).__name__})") from error
    except (smtplib.SMTPException, OSError) as error:
        raise NotDelivered(f"the mail server did not answer ({type(error).__name__})") from error
    if refused:
        logger.warning("the mail server refused %d of %d recipients", len(refused), len(options.recipients))


def compose(desk: Desk, messages: Sequence[Message]) -> EmailMessage:
    """The e-mail: each alert's number, kind, probability, time and link; those already decided are marked."""
    options = desk.settings.email
    letter = EmailMessage()
    letter["Subject"] = _subject(messages)
    letter["From"] = options.sender
    letter["To"] = ", ".join(options.recipients)
    letter["Date"] = format_datetime(now())
    letter["Message-ID"] = f"<{messages[0].uuid}@{options.sender.rpartition('@')[2].rstrip('>')}>"
    letter["Auto-Submitted"] = "auto-generated"
    ranked = sorted(messages, key=lambda message: (-message.probability, message.alert_id))
    letter.set_content("\n".join(_lines(desk, message) for message in ranked))
    return letter


def _subject(messages: Sequence[Message]) -> str:
    if len(messages) > 1:
        return f"Lungprint: {len(messages)} alerts"
    return f"Lungprint: {_kind(messages[0])} (alert {messages[0].alert_id})"


def _lines(desk: Desk, message: Message) -> str:
    raised = message.created_at.strftime("%Y-%m-%d %H:%M UTC")
    decided = "" if message.state in WAITING else f", meanwhile {message.state.value.replace('_', ' ')}"
    share = 100 * message.probability
    return (
        f"Alert {message.alert_id}: {_kind(message)}, probability {share:.0f} %, raised {raised}{decided}\n"
        f"{link(desk.settings, message.alert_id)}\n"
    )


def _kind(message: Message) -> str:
    return message.kind.value.replace("_", " ")


def _server(options: Email, seconds: float) -> smtplib.SMTP:
    try:
        context = ssl.create_default_context(cafile=options.ca_file or None)
    except OSError as error:
        raise NotDelivered("the file email.ca_file is no readable file of certificates") from error
    if options.security == "tls":
        return smtplib.SMTP_SSL(options.host, options.port, timeout=seconds, context=context)
    server = smtplib.SMTP(options.host, options.port, timeout=seconds)
    try:
        if options.security == "starttls":
            server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server
