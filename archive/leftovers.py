"""What a purge leaves to be removed outside the database's rows: files, previews, old pages; vectors, by the index."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from archive.database import Database
from archive.files import ImageFiles
from archive.models import GalleryChange, Instance, Leftover, Purge, Variant, now
from archive.states import ChangeKind, LeftoverKind


def unfinished(session: Session) -> list[int]:
    """Numbers of purges whose files are not all removed yet, oldest first."""
    return list(session.scalars(select(Purge.id).where(Purge.finished_at.is_(None)).order_by(Purge.id)))


def finish(
    database: Database, files: ImageFiles, purge_pk: int, progress: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Remove the files of a purge, see `archive.purge`; after a crash at any point, again is the same as once.

    A file that came again meanwhile, and is an acknowledged image by now, stays.

    Args:
        progress: called with how many files are done, and of how many.

    Raises:
        OSError: a file cannot be removed; the rest waits for the next call.
    """
    with database.read() as session:
        left = session.scalars(select(Leftover).where(Leftover.purge_pk == purge_pk).order_by(Leftover.id)).all()
    previews = [int(one.name) for one in left if one.kind is LeftoverKind.PREVIEW]
    files.remove_previews(previews)
    for done, one in enumerate(left):
        progress(done, len(left))
        if one.kind is LeftoverKind.QUARANTINE:
            files.remove_quarantined(one.name)
        elif one.kind is LeftoverKind.FILE:
            with files.removing():
                with database.read() as session:
                    came_again = _is_named(session, one.name)
                if not came_again:
                    files.remove(one.name)
    progress(len(left), len(left))
    with database.write() as session:
        session.execute(delete(Leftover).where(Leftover.purge_pk == purge_pk))
        session.get_one(Purge, purge_pk).finished_at = now()
    _drop_old_pages(database)


def vectors_left(session: Session) -> int:
    """How many purged images the index, or a snapshot of it, may still hold."""
    wanted = select(func.count()).select_from(GalleryChange).where(GalleryChange.kind == ChangeKind.PURGED)
    return session.scalar(wanted) or 0


def _is_named(session: Session, file_digest: str) -> bool:
    """Whether a stored file is an image, or a version of one."""
    for table in (Instance, Variant):
        if session.scalar(select(table.id).where(table.file_digest == file_digest).limit(1)) is not None:
            return True
    return False


def _drop_old_pages(database: Database) -> None:
    """SQLite: let the write-ahead log end, so that no page of it holds what was removed."""
    if database.engine.dialect.name == "sqlite":
        # Not through SQLAlchemy, which would begin a transaction; one that reads meanwhile is waited for.
        with closing(database.engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
