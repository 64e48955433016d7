"""Alerts whose messages wait in the outbox, and the desk from which they are sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from archive.alerts import Finding, raise_alert
from archive.database import Database
from archive.models import Instance, Notification, Patient
from archive.states import AlertKind
from config.paths import DataDir
from config.settings import Settings
from workers.delivery import Desk

# What no message may hold unless it is asked for.
PATIENT_WORDS = ("Doe", "SECRET-77", "1970", "1.2.3")


def with_options(settings: Settings, **sections: dict[str, Any]) -> Settings:
    """Settings with some options of some sections changed, and three attempts at a message."""
    changed = {"outbox": {"max_attempts": 3}} | sections
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=options) for name, options in changed.items()}
    )


def desk(database: Database, settings: Settings, folder: DataDir) -> Desk:
    """A desk without a decoder."""
    return Desk(database, settings, folder, make_preview=lambda _: False)


def raise_about(database: Database, settings: Settings, instance_id: int, probability: float = 0.75) -> list[int]:
    """Raise an alert about an image of a patient named Doe; returns the ids of its messages, by channel."""
    with database.write() as session:
        patient = session.get_one(Patient, session.get_one(Instance, instance_id).patient_pk)
        patient.name, patient.birth_date = "Doe^Jane", "19700101"
        patient.patient_id = f"SECRET-77{patient.id}"
        finding = Finding(f"label:{instance_id}", AlertKind.WRONG_PATIENT, probability, instance_id, patient.id)
        alert = raise_alert(session, settings, finding)
        session.flush()
        found = select(Notification.id).where(Notification.alert_pk == alert.id).order_by(Notification.channel)
        return list(session.scalars(found))


def stored(database: Database, notification_id: int) -> Notification:
    """A message as it is in the outbox."""
    with database.read() as session:
        return session.get_one(Notification, notification_id)
