"""The reconciler: whatever the database says is not finished and no worker has moved is handed on again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from sqlalchemy.orm import Session

from archive import commitments, notifications, progress
from archive.database import Database
from archive.files import ImageFiles
from archive.models import Instance
from archive.states import ImageState
from config.broker import Queue, Task
from config.paths import DataDir
from config.settings import Settings
from workers.decode_pool import DecodePool
from workers.decoder import Order, Unreadable

logger = logging.getLogger(__name__)

Send = Callable[[Task, int], None]
Length = Callable[[Queue], int]

# Messages that a queue may hold before the reconciler leaves it alone: there is work enough, and what is due may be
# in it. Messages are small, and a second one for the same image costs one look into the database.
FULL_QUEUE = 1000
# How long the reconciler waits before it hands the same thing on again.
HANDED_ON_SECONDS = 60.0
# Images of earlier weights that may be in the encode queue at once: new images go first.
FEW = 32

_WAY: tuple[tuple[Callable[[Session, int], list[int]], Task, Queue], ...] = (
    (lambda session, limit: progress.due(session, ImageState.RECEIVED, limit), Task.ENCODE, Queue.ENCODE),
    (lambda session, limit: progress.due(session, ImageState.ENCODED, limit), Task.MATCH, Queue.MATCH),
    (progress.to_judge_again, Task.MATCH, Queue.MATCH),
)


def reconcile(database: Database, length: Length, send: Send) -> int:
    """Hand on images and messages to other systems that are due; returns how many.

    Args:
        length: number of messages in a queue. send: puts a task for an id into its queue.

    Raises:
        redis.RedisError, kombu.exceptions.OperationalError: the broker is away; the next look finds the same work.
    """
    handed_on = 0
    for due, task, queue in _WAY:
        room = FULL_QUEUE - length(queue)
        if room > 0:
            with database.read() as session:
                ids = due(session, room)
            handed_on += _hand_on(task, ids, send)
            with database.write() as session:
                progress.postpone(session, ids, HANDED_ON_SECONDS)
    for messages, task in ((notifications, Task.NOTIFY), (commitments, Task.COMMIT)):
        room = FULL_QUEUE - length(Queue.NOTIFY)
        if room > 0:
            with database.read() as session:
                ids = messages.due(session, room)
            handed_on += _hand_on(task, ids, send)
            with database.write() as session:
                messages.postpone(session, ids, HANDED_ON_SECONDS)
    return handed_on


def sweep_outgoing(database: Database, folder: DataDir) -> int:
    """Remove objects for the PACS whose message was sent, or purged with its patient; returns how many."""
    found = {path.stem: path for path in folder.outgoing.glob("*.dcm")}
    if not found:
        return 0
    with database.read() as session:
        needed = notifications.unsent(session, found.keys())
    for name in found.keys() - needed:
        found[name].unlink(missing_ok=True)
    return len(found.keys() - needed)


def refresh(database: Database, settings: Settings, model_id: str, length: Length, send: Send) -> int:
    """Hand on a few images whose codes come from other weights, while nothing else waits; returns how many."""
    if length(Queue.ENCODE) > 0:
        return 0
    with database.read() as session:
        ids = progress.outdated(session, model_id, settings.workers, FEW)
    handed_on = _hand_on(Task.ENCODE, ids, send)
    with database.write() as session:
        progress.postpone(session, ids, HANDED_ON_SECONDS)
    return handed_on


def make_preview(database: Database, files: ImageFiles, pool: DecodePool, settings: Settings, instance_id: int) -> bool:
    """Make an image's preview again when it is missing; returns whether it is there now."""
    target = files.preview_path(instance_id)
    if target.exists():
        return True
    with database.read() as session:
        instance = session.get(Instance, instance_id)
    if instance is None:
        return False
    decoding = settings.decoding
    order = Order(files.path(instance.file_digest), target, decoding.preview_side, decoding.max_pixels)
    outcome = pool.outcome(pool.submit(order))
    if isinstance(outcome, Unreadable):
        logger.warning("image %d has no preview: %s", instance_id, outcome.reason)
    with database.read() as session:
        present = session.get(Instance, instance_id)
    if present is None or present.file_digest != instance.file_digest:
        # Purged or corrected meanwhile.
        files.drop_preview(instance_id)
    return target.exists()


def _hand_on(task: Task, ids: Iterable[int], send: Send) -> int:
    count = 0
    for each in ids:
        send(task, each)
        count += 1
    if count:
        logger.info("handed on %d times: %s", count, task)
    return count
