"""Requests of peers to commit to images (PS3.4 J): entered once, judged, and kept until the report is delivered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from archive.models import Commitment, Instance, now
from archive.progress import LONGEST_REASON, pause_after
from archive.states import NotificationState
from config.settings import Workers

# The association on which a request came is tried first; only then do others look after the report.
OWN_ASSOCIATION_SECONDS = 60.0

Reference = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


@dataclass(frozen=True)
class Request:
    """A request whose report is not delivered yet.

    Attributes:
        peer: AE title of the node that asked.
        is_repetition: whether the transaction UID was in use for another list of images already.
        requested_at: when it came first.
    """

    commitment_id: int
    peer: str
    transaction_uid: str
    references: tuple[Reference, ...]
    is_repetition: bool
    requested_at: datetime


@dataclass(frozen=True)
class Kept:
    """What the archive has under a SOP Instance UID: its class and the digest and length of its file."""

    sop_class_uid: str
    file_digest: str
    size: int


def enter(session: Session, peer: str, transaction_uid: str, references: Sequence[Reference]) -> int:
    """Enter a request; the same one again, which a peer sends that has lost our report, is reported again.

    Returns:
        the request's id; its report is due, for others than the caller, after `OWN_ASSOCIATION_SECONDS`.
    """
    listed = [list(reference) for reference in references]
    digest = hashlib.sha256(json.dumps(listed).encode()).hexdigest()
    same = select(Commitment).where(Commitment.peer == peer, Commitment.transaction_uid == transaction_uid)
    found = session.scalar(same.where(Commitment.digest == digest).with_for_update())
    if found is None:
        used = session.scalar(same.limit(1)) is not None
        found = Commitment(
            peer=peer, transaction_uid=transaction_uid, digest=digest, references=listed, is_repetition=used
        )
        session.add(found)
    found.state, found.attempts, found.reason = NotificationState.PENDING, 0, ""
    found.requested_at = now()
    found.due_at = now() + timedelta(seconds=OWN_ASSOCIATION_SECONDS)
    session.flush()
    return found.id


def pending(session: Session, commitment_id: int) -> Request | None:
    """The request with an id, as long as its report was neither delivered nor given up."""
    found = session.get(Commitment, commitment_id)
    if found is None or found.state is not NotificationState.PENDING:
        return None
    references = tuple((str(a), str(b)) for a, b in found.references)
    return Request(found.id, found.peer, found.transaction_uid, references, found.is_repetition, found.requested_at)


def kept(session: Session, sop_instance_uid: str) -> Kept | None:
    """What the archive has under a UID."""
    found = session.scalar(select(Instance).where(Instance.sop_instance_uid == sop_instance_uid))
    return None if found is None else Kept(found.sop_class_uid, found.file_digest, found.size)


def due(session: Session, limit: int) -> list[int]:
    """Ids of requests whose report is due, the longest due first."""
    query = select(Commitment.id).where(Commitment.state == NotificationState.PENDING, Commitment.due_at <= now())
    return list(session.scalars(query.order_by(Commitment.due_at, Commitment.id).limit(limit)))


def postpone(session: Session, commitment_ids: list[int], seconds: float) -> None:
    """Say that reports were just handed to a worker, or, with 0 seconds, that one should take them."""
    later = now() + timedelta(seconds=seconds)
    session.execute(update(Commitment).where(Commitment.id.in_(commitment_ids)).values(due_at=later))


def record_delivered(session: Session, commitment_id: int, failures: int) -> None:
    """The peer has accepted the report, in which so many images had failed."""
    found = session.get_one(Commitment, commitment_id, with_for_update=True)
    found.state, found.reason, found.failures, found.delivered_at = NotificationState.SENT, "", failures, now()


def record_failure(session: Session, commitment_id: int, reason: str, options: Workers, days: int) -> NotificationState:
    """Count a failed delivery; the pause doubles each time, and after so many days since the request it is given up.

    Returns:
        the request's state afterwards.
    """
    found = session.get_one(Commitment, commitment_id, with_for_update=True)
    if found.state is not NotificationState.PENDING:
        return found.state
    found.attempts += 1
    found.reason = reason[:LONGEST_REASON]
    found.due_at = now() + timedelta(seconds=pause_after(found.attempts, options))
    if found.due_at > found.requested_at + timedelta(days=days):
        found.state = NotificationState.DEAD
    return found.state
