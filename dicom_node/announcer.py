"""Telling the encoder about new images, off the path of the acknowledgement: no store ever waits for the queue."""

from __future__ import annotations

import logging
import queue
import threading
import time

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config.broker import Task

logger = logging.getLogger(__name__)

# Images that wait to be announced; what exceeds it is left to the reconciler.
MOST_WAITING = 10_000
# After a failure nothing is sent for so long: each try costs more than it is worth.
_PAUSE_SECONDS = 1.0
# In a stream of images, those of so long a time are announced together: Python runs one thread at a time, and one that
# wakes for each image holds up the next one's way to the disk. An image that comes alone is announced at once.
_GATHER_SECONDS = 0.03
_ONE_TRY = {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.1}


class Announcer:
    """A thread that hands the ids of new images to the queue `encode`.

    An announcement makes things fast, not right: while Redis is away, announcements are dropped, and the reconciler
    finds the images in the database.

    Args:
        app: used by this thread alone; it is set to give up at once when Redis cannot be reached.
    """

    def __init__(self, app: Celery) -> None:
        # One try: whoever waits for a server that is away only lets others wait.
        app.conf.broker_transport_options = {**app.conf.broker_transport_options, **_ONE_TRY}
        self._app = app
        self._waiting: queue.Queue[int | None] = queue.Queue(MOST_WAITING)
        self._reachable = True
        # Of those who announce and the thread that sends, one alone says that nothing is announced.
        self._telling = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        with self._app.connection_for_write() as connection:
            # Imports what Redis needs now, not beside the first image; connects to nothing.
            logger.debug("Announcing by %s.", type(connection.transport).__name__)
        self._thread.start()

    def announce(self, instance_id: int) -> None:
        """Say that an image is RECEIVED; returns at once, whatever the queue's server does."""
        try:
            self._waiting.put_nowait(instance_id)
        except queue.Full:
            self._lost("more images wait than can be announced")

    def stop(self, seconds: float) -> None:
        """Send what waits, for so many seconds at most."""
        self._ended.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _run(self) -> None:
        last = -_GATHER_SECONDS
        while (instance_id := self._waiting.get()) is not None:
            if self._waiting.empty() and time.monotonic() - last < _GATHER_SECONDS:
                self._ended.wait(_GATHER_SECONDS)
            try:
                self._app.send_task(str(Task.ENCODE), args=[instance_id], retry=False, ignore_result=True)
            except (OperationalError, RedisError, OSError) as error:
                self._lost(type(error).__name__)
                self._ended.wait(_PAUSE_SECONDS)
                self._drop_waiting()
            else:
                self._reachable = True
            last = time.monotonic()

    def _drop_waiting(self) -> None:
        """Give up what waits: the reconciler is as fast by now."""
        for _ in range(self._waiting.qsize()):
            try:
                if self._waiting.get_nowait() is None:
                    self._waiting.put_nowait(None)
                    return
            except queue.Empty:
                return

    def _lost(self, reason: str) -> None:
        with self._telling:
            first, self._reachable = self._reachable, False
        if first:
            logger.warning("New images are not announced (%s); the reconciler will find them.", reason)
