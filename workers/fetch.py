"""The task that asks the PACS for earlier images: a while at a time, and never twice at once in one process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from archive.database import Database
from archive.priors import is_anything_due, is_within
from config.broker import Task
from config.paths import DataDir
from config.settings import Settings

logger = logging.getLogger(__name__)

# A message that is worked on longer than its visibility lasts would be delivered again.
SECONDS = 300.0

_busy = threading.Lock()


def fetch_priors(database: Database, settings: Settings, folder: DataDir, send: Callable[[Task, int], None]) -> int:
    """Fetch what is due, for some minutes; returns how many patients and days were dealt with.

    Args:
        send: puts a task for an id into its queue.
    """
    if not _busy.acquire(blocking=False):
        return 0
    try:
        with database.read() as session:
            if not is_anything_due(session, is_within(settings.priors.hours, datetime.now())):
                return 0
        # pynetdicom is imported here and in no worker that has no need of it.
        from dicom_node.discretion import keep_values_private
        from dicom_node.priors import PriorRetrieval

        keep_values_private()

        def announce(instance_id: int) -> None:
            try:
                send(Task.ENCODE, instance_id)
            except (OperationalError, RedisError, OSError) as error:
                logger.warning("A fetched image is not announced (%s); the reconciler will find it.", error)

        return PriorRetrieval(settings, folder, database, announce).work(SECONDS)
    finally:
        _busy.release()
