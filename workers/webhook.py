"""Tells another program about an alert: one POST of JSON, signed, without patient data unless it is asked for."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any

from archive.alerts import alert_json
from archive.models import Alert
from archive.notifications import Message
from workers.delivery import Desk, NotDelivered, link

SIGNATURE_HEADER = "X-Lungprint-Signature"
DELIVERY_HEADER = "X-Lungprint-Delivery"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, or somewhere nobody configured."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse; urllib then raises the redirect as an HTTP error."""


def deliver(desk: Desk, messages: Sequence[Message]) -> None:
    """POST a message as JSON.

    The header X-Lungprint-Delivery, repeated in the body, is the same for every attempt, so that a receiver can drop a
    repetition; X-Lungprint-Signature is `sha256=` and the hex HMAC-SHA256 of the body under the secret.

    Raises:
        NotDelivered: no URL is set, no answer came, or one other than 2xx.
    """
    options = desk.settings.notify
    if not options.webhook_url:
        raise NotDelivered("no webhook is configured any more")
    for message in messages:
        payload = body(desk, message)
        headers = {"Content-Type": "application/json", DELIVERY_HEADER: message.uuid}
        if options.webhook_secret:
            headers[SIGNATURE_HEADER] = signature(payload, options.webhook_secret)
        request = urllib.request.Request(options.webhook_url, payload, headers, method="POST")
        _post(request, desk.settings.outbox.timeout_seconds)


def body(desk: Desk, message: Message) -> bytes:
    """Which alert, of what kind, how probable, since when, and where the dashboard shows it.

    With `notify.webhook_patient_data`, `details` holds the alert as `lungprint alerts --json` prints it.
    """
    said: dict[str, Any] = {
        "delivery": message.uuid,
        "alert": message.alert_id,
        "kind": message.kind.value,
        "probability": message.probability,
        "created": message.created_at.isoformat(),
        "link": link(desk.settings, message.alert_id),
    }
    if desk.settings.notify.webhook_patient_data:
        with desk.database.read() as session:
            said["details"] = alert_json(session.get_one(Alert, message.alert_id))
    return json.dumps(said).encode()


def signature(payload: bytes, secret: str) -> str:
    """`sha256=` and the hex HMAC-SHA256 of a payload."""
    return "sha256=" + hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def _post(request: urllib.request.Request, seconds: float) -> None:
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=seconds) as response:
            response.read(1024)
    except urllib.error.HTTPError as error:
        raise NotDelivered(f"the webhook answered with HTTP status {error.code}") from error
    except (urllib.error.URLError, HTTPException, OSError) as error:
        cause = getattr(error, "reason", error)
        raise NotDelivered(f"the webhook did not answer ({type(cause).__name__})") from error
