"""The audit trail: who saw or did what, when and from where; it can be added to and read, never changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.models import AuditEvent, Patient


class AuditAction(StrEnum):
    """What somebody did."""

    SIGNED_IN = "signed in"
    SIGN_IN_REFUSED = "sign-in refused"
    SIGNED_OUT = "signed out"
    ALERT_LISTED = "alert listed"
    ALERTS_FETCHED = "alerts fetched by API"
    ALERT_VIEWED = "alert viewed"
    ALERT_DISPOSED = "alert disposed"
    ALERT_JOINED = "alert closed: its records are one person"
    ALERT_CORRECTED = "alert closed: the study was corrected"
    ALERT_NOT_FOUND_AGAIN = "alert closed: judged anew, it no longer holds"
    RECORDS_JOINED = "records joined"
    RECORDS_SEPARATED = "records separated"
    PAIR_DENIED = "pair remembered as no error"
    DENIAL_TAKEN_BACK = "pair no longer remembered as no error"
    IMAGE_CORRECTED = "image corrected by another version"
    IMAGE_REPLACED = "rejected image replaced by another"
    PATIENT_UPDATED = "patient's name, birth date or sex updated"
    PURGED = "purged"
    IMAGE_VIEWED = "image viewed"
    IMAGE_LISTED = "image listed"
    ATTENTION_VIEWED = "attention viewed"
    ALIGNMENT_VIEWED = "alignment viewed"
    SIMILAR_SEARCHED = "similar cases searched"
    PATIENT_SEARCHED = "patient searched"
    DEAD_LETTER_RETRIED = "dead letter retried"
    SYSTEM_VIEWED = "system page viewed"
    USERS_VIEWED = "users viewed"
    RESULT_SENT = "result sent"
    AUDIT_VIEWED = "audit trail viewed"
    USER_CREATED = "user created"
    USER_CHANGED = "user changed"


@dataclass(frozen=True)
class Entry:
    """One thing done: the action, the object by kind and our integer id, and the patient it belongs to."""

    action: AuditAction
    object_kind: str = ""
    object_pk: int | None = None
    patient_pk: int | None = None


@dataclass(frozen=True)
class TrailRow:
    """An event with the label of its patient, "" when it concerns none."""

    event: AuditEvent
    patient_id: str


@dataclass(frozen=True)
class TrailPage:
    """Some events, newest first; `page` counts from 1."""

    rows: tuple[TrailRow, ...]
    page: int
    pages: int
    total: int


def record(
    session: Session,
    user_name: str,
    action: AuditAction,
    object_kind: str = "",
    object_pk: int | None = None,
    patient_pk: int | None = None,
    address: str = "",
) -> None:
    """Add one event; it is kept when the session commits.

    Args:
        user_name: who; for a refused sign-in the name that was tried.
        object_kind: "alert", "instance", "patient", "purge", "user" or "".
        object_pk: our id of that object.
        patient_pk: whose data it was.
        address: where the request came from.
    """
    record_all(session, user_name, (Entry(action, object_kind, object_pk, patient_pk),), address)


def record_all(session: Session, user_name: str, entries: Iterable[Entry], address: str = "") -> None:
    """Add one event for each entry, all by the same user."""
    session.add_all(
        AuditEvent(
            user_name=user_name[:64],
            action=str(entry.action),
            object_kind=entry.object_kind,
            object_pk=entry.object_pk,
            patient_pk=entry.patient_pk,
            address=address[:64],
        )
        for entry in entries
    )


def trail(session: Session, page: int = 1, size: int = 100, user_name: str = "") -> TrailPage:
    """A page of the trail, newest first; a page beyond the last one is the last one.

    Args:
        page: from 1.
        size: events on a page, from 1.
        user_name: only this user's events; "" = everybody's.
    """
    wanted = [AuditEvent.user_name == user_name] if user_name else []
    total = session.scalar(select(func.count()).select_from(AuditEvent).where(*wanted)) or 0
    pages = max(1, -(-total // size))
    page = min(max(1, page), pages)
    found = session.execute(
        select(AuditEvent, Patient.patient_id)
        .outerjoin(Patient, Patient.id == AuditEvent.patient_pk)
        .where(*wanted)
        .order_by(AuditEvent.id.desc())
        .limit(size)
        .offset((page - 1) * size)
    )
    rows = tuple(TrailRow(event, patient_id or "") for event, patient_id in found)
    return TrailPage(rows, page, pages, total)
