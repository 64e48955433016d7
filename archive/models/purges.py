"""What was removed for good, so that no id of it is given out again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Connection, ForeignKey, String, event, func, select
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.alerts import Alert
from archive.models.base import Base, UtcDateTime, named_enum, now
from archive.models.images import Instance
from archive.states import LeftoverKind, PurgeKind


class Purge(Base):
    """What was removed for good: who asked, when, how much; of whom, a keyed hash alone says, see `archive.purge`.

    `last_instance` and `last_alert` are the highest ids given out before, so that none is given out twice.
    """

    __tablename__ = "purges"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[PurgeKind] = mapped_column(named_enum(PurgeKind))
    subject: Mapped[str] = mapped_column(String(64), index=True)
    requested_by: Mapped[str] = mapped_column(String(64))
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    counts: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    last_instance: Mapped[int] = mapped_column()
    last_alert: Mapped[int] = mapped_column()


class Leftover(Base):
    """What a purge has yet to remove outside the database's own rows, and, while it runs, whose decisions may go."""

    __tablename__ = "purge_leftovers"

    id: Mapped[int] = mapped_column(primary_key=True)
    purge_pk: Mapped[int] = mapped_column(ForeignKey("purges.id"), index=True)
    kind: Mapped[LeftoverKind] = mapped_column(named_enum(LeftoverKind))
    name: Mapped[str] = mapped_column(String(128))


# For each table whose ids the audit trail names: the highest id given out before the purges, and now.
_LAST_IDS = {
    Instance: (select(func.max(Purge.last_instance)), select(func.max(Instance.id))),
    Alert: (select(func.max(Purge.last_alert)), select(func.max(Alert.id))),
}


def id_after_purge(connection: Connection, model: type[Instance] | type[Alert]) -> int | None:
    """The id that a new row must be given, None when the database's own choice is right.

    SQLite gives the highest id again once its row was purged; the audit trail must not mean two things by one.
    """
    if connection.dialect.name != "sqlite":
        return None
    before, present = _LAST_IDS[model]
    purged = connection.scalar(before) or 0
    return purged + 1 if purged and purged > (connection.scalar(present) or 0) else None


@event.listens_for(Instance, "before_insert")
@event.listens_for(Alert, "before_insert")
def _give_no_id_twice(_: Any, connection: Connection, target: Instance | Alert) -> None:
    number = id_after_purge(connection, type(target)) if target.id is None else None
    if number is not None:
        target.id = number
