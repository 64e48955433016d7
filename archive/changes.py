"""What the index must look at again: written with the change itself, kept until a snapshot of the index knows of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, select, text
from sqlalchemy.orm import Session

from archive.models import GalleryChange
from archive.states import ChangeKind

# Built once: both are asked for each image, and take longer to build than to answer.
_CHANGES_SINCE = (
    select(GalleryChange.id, GalleryChange.instance_pk, GalleryChange.kind)
    .where(GalleryChange.id > bindparam("last"))
    .order_by(GalleryChange.id)
)
_NEWEST_CHANGE = select(func.max(GalleryChange.id))
# PostgreSQL: writers take turns, so that ids become visible in their order and none is passed over.
_TURN = text("LOCK TABLE gallery_changes IN SHARE ROW EXCLUSIVE MODE")


@dataclass(frozen=True)
class Changes:
    """Changes after some moment.

    Attributes:
        last: id of the newest one, to ask from next time.
        images: ids of images that may have come, gone, or changed their embedding.
        relabelled: ids of images whose person alone may have changed.
        purged: ids of images, among `images`, of which nothing may stay.
    """

    last: int
    images: frozenset[int]
    relabelled: frozenset[int]
    purged: frozenset[int]

    def __bool__(self) -> bool:
        return bool(self.images or self.relabelled)


def note_changes(session: Session, instance_ids: Iterable[int], kind: ChangeKind) -> None:
    """Have the index look at these images again once the session commits."""
    rows = [GalleryChange(instance_pk=number, kind=kind) for number in sorted(set(instance_ids))]
    if rows:
        take_turn(session)
        session.add_all(rows)
        session.flush()


def changes_since(session: Session, last: int) -> Changes:
    """The changes after the one with id `last`; 0 = all that no snapshot knows of."""
    rows = session.execute(_CHANGES_SINCE, {"last": last}).all()
    images = frozenset(number for _, number, kind in rows if kind is not ChangeKind.PERSON)
    purged = frozenset(number for _, number, kind in rows if kind is ChangeKind.PURGED)
    relabelled = frozenset(number for _, number, _ in rows) - images
    return Changes(max((row[0] for row in rows), default=last), images, relabelled, purged)


def newest_change(session: Session) -> int:
    """Id of the newest change that is still noted, 0 when there is none."""
    return session.scalar(_NEWEST_CHANGE) or 0


def forget_changes(session: Session, last: int) -> None:
    """Remove the changes up to the one with id `last`: a snapshot of the index knows of them."""
    session.execute(delete(GalleryChange).where(GalleryChange.id <= last))


def take_turn(session: Session) -> None:
    """Until the session ends, nobody else notes a change; on SQLite every writing session has that for itself.

    Whoever changes whose images are whose takes the turn before any row is locked, so that no two wait for each other.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_TURN)
