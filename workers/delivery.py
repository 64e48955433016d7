"""What every channel of the outbox works with, and how it says that a message was not delivered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archive.database import Database
from config.errors import LungprintError
from config.paths import DataDir
from config.settings import Settings


class NotDelivered(LungprintError):
    """The other system did not accept a message; the text names no address, which may hold a key."""


@dataclass(frozen=True)
class Desk:
    """The archive and the options from which messages are made.

    Attributes:
        make_preview: makes the preview of an image, by its id, when it is missing; returns whether it is there.
    """

    database: Database
    settings: Settings
    folder: DataDir
    make_preview: Callable[[int], bool]


def link(settings: Settings, alert_id: int) -> str:
    """Where people find an alert on the dashboard."""
    base = settings.notify.dashboard_url.rstrip("/")
    if not base:
        base = f"{'https' if settings.web.https else 'http'}://{settings.web.host}:{settings.web.port}"
    return f"{base}/alerts/{alert_id}"
