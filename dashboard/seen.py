"""Writing the audit trail from a request: each page and image that somebody was shown."""

from __future__ import annotations

from flask import request
from flask_login import current_user
from sqlalchemy.orm import Session

from archive.audit import AuditAction, Entry, record, record_all
from archive.models import Alert, Instance
from archive.users import find_user
from dashboard.services import services

UNKNOWN_NAME = "(unknown name)"


def note(*entries: Entry) -> None:
    """Write what the user of this request was shown or did; it is on the disk before the answer leaves."""
    with services().database.write() as session:
        record_all(session, current_user.name, entries, request.remote_addr or "")
    pages = [one.object_pk for one in entries if one.object_kind == "instance" and one.object_pk is not None]
    services().shown.add(current_user.name, pages)


def note_here(session: Session, action: AuditAction, kind: str, pk: int | None, patient_pk: int | None) -> None:
    """Write it in the transaction of `session`, so that the deed and its record are kept together."""
    record(session, current_user.name, action, kind, pk, patient_pk, request.remote_addr or "")


def note_thumbnail(instance: Instance) -> None:
    """Write that a thumbnail was shown, unless the page that shows it has just been written with it."""
    if not services().shown.has(current_user.name, instance.id):
        note(of_image(instance, AuditAction.IMAGE_LISTED))


def note_refused(name: str) -> None:
    """Write that somebody tried to sign in under `name` and was refused.

    A name that nobody has is not written: it may be a password typed into the wrong field.
    """
    with services().database.write() as session:
        known = find_user(session, name)
        who = known.name if known else UNKNOWN_NAME
        record(session, who, AuditAction.SIGN_IN_REFUSED, address=request.remote_addr or "")


def of_image(instance: Instance, action: AuditAction) -> Entry:
    """The entry for an image."""
    return Entry(action, "instance", instance.id, instance.patient_pk)


def of_alert(alert: Alert, action: AuditAction) -> list[Entry]:
    """The entries for an alert: one for each patient and image that it names."""
    entries = [
        Entry(action, "alert", alert.id, alert.patient_pk),
        Entry(AuditAction.IMAGE_LISTED, "instance", alert.instance_pk, alert.patient_pk),
    ]
    if alert.other_patient_pk is not None:
        entries.append(Entry(action, "alert", alert.id, alert.other_patient_pk))
    if alert.other_instance_pk is not None:
        entries.append(Entry(AuditAction.IMAGE_LISTED, "instance", alert.other_instance_pk, alert.other_patient_pk))
    return entries
