"""Collects encode messages into batches; repairs what the package celery-batches leaves open."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from queue import Queue
from typing import Any

from celery import Celery
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery_batches import Batches

logger = logging.getLogger(__name__)

# The flush timer goes on this long after the last batch; see `_do_flush`.
LINGER_SECONDS = 2.0


def ids_of(messages: Iterable[Iterable[Any]]) -> list[int]:
    """The image ids that messages name, by their arguments; a malformed message must not spoil its batch."""
    found = []
    for arguments in messages:
        match list(arguments):
            case [int(instance_id)]:
                found.append(instance_id)
            case _:
                logger.error("a message for the encoder names no image and is dropped")
    return found


class EncodeBatches(Batches):
    """A batch task that survives a restart of its broker and lets batches grow while one is at work.

    Its `run` must call `finished` when it ends.
    """

    abstract = True

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._at_work = 0
        self._linger_until = 0.0

    def Strategy(self, task: Batches, app: Celery, consumer: Consumer) -> Callable[..., None]:  # noqa: N802  Celery's name
        """Called for each new connection to the broker.

        The worker has dropped all timers with the old connection, so the package's own would never fire again; and
        messages of the old connection cannot be acknowledged any more: the broker delivers them again.
        """
        self._tref = None
        self._buffer: Queue[Request] = Queue()
        self._pending: Queue[Request] = Queue()
        handler: Callable[..., None] = super().Strategy(task, app, consumer)
        return handler

    def flush(self, requests: Collection[Request]) -> Any:
        """Hand a batch to the pool's thread."""
        with self._lock:
            self._at_work += 1
        return super().flush(requests)

    def finished(self) -> None:
        """A batch has been worked through."""
        with self._lock:
            self._at_work -= 1
            self._linger_until = time.monotonic() + LINGER_SECONDS

    def _do_flush(self) -> None:
        """Flush, unless a batch is at work and this one may still grow.

        The timer that calls this also wakes the worker's event loop, which otherwise sleeps for seconds when its
        prefetch limit was reached and the pool's thread acknowledges messages.
        """
        waiting = self._buffer.qsize()
        if self._at_work and waiting < self.flush_every:
            return
        if not waiting and time.monotonic() < self._linger_until:
            return
        super()._do_flush()
