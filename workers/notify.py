"""Tells another system about an alert: a signed webhook without patient data, tried until it is delivered."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from archive import notifications
from archive.database import Database
from archive.notifications import Message
from config.errors import LungprintError
from config.settings import Settings

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
SIGNATURE_HEADER = "X-Lungprint-Signature"
DELIVERY_HEADER = "X-Lungprint-Delivery"


class NotDelivered(LungprintError):
    """The other system did not accept a message; the text names no URL, which may hold a key."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, or somewhere nobody configured."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse; urllib then raises the redirect as an HTTP error."""


def notify(database: Database, settings: Settings, notification_id: int) -> bool:
    """Deliver one message, or plan its next attempt; one that was delivered is never sent again.

    Returns:
        whether the message was delivered by this call.
    """
    with database.read() as session:
        message = notifications.pending(session, notification_id)
    if message is None:
        return False
    try:
        post(settings.notify.webhook_url, settings.notify.webhook_secret, message)
    except NotDelivered as error:
        with database.write() as session:
            state = notifications.record_failure(session, notification_id, str(error), settings.workers)
        logger.warning("message %d about alert %d is %s: %s", notification_id, message.alert_id, state, error)
        return False
    with database.write() as session:
        notifications.record_sent(session, notification_id)
    return True


def post(url: str, secret: str, message: Message) -> None:
    """POST a message as JSON.

    The header X-Lungprint-Delivery is the same for every attempt, so that a receiver can drop a repetition;
    X-Lungprint-Signature is `sha256=` and the hex HMAC-SHA256 of the body under the secret.

    Raises:
        NotDelivered: no URL is set, no answer came, or one other than 2xx.
    """
    if not url:
        raise NotDelivered("no webhook is configured any more")
    payload = body(message)
    headers = {"Content-Type": "application/json", DELIVERY_HEADER: str(message.notification_id)}
    if secret:
        headers[SIGNATURE_HEADER] = signature(payload, secret)
    request = urllib.request.Request(url, payload, headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_SECONDS) as response:
            response.read(1024)
    except urllib.error.HTTPError as error:
        raise NotDelivered(f"the webhook answered with HTTP status {error.code}") from error
    except (urllib.error.URLError, HTTPException, OSError) as error:
        cause = getattr(error, "reason", error)
        raise NotDelivered(f"the webhook did not answer ({type(cause).__name__})") from error


def body(message: Message) -> bytes:
    """What is sent: which alert, of what kind, how probable, since when, and where the dashboard shows it."""
    return json.dumps(
        {
            "alert": message.alert_id,
            "kind": message.kind,
            "probability": message.probability,
            "created": message.created_at.isoformat(),
            "path": f"/alerts/{message.alert_id}",
        }
    ).encode()


def signature(payload: bytes, secret: str) -> str:
    """`sha256=` and the hex HMAC-SHA256 of a payload."""
    return "sha256=" + hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
