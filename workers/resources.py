"""What one worker process owns: made when first needed, closed when the process ends."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import cached_property

import redis
from celery import Celery

from archive.database import Database, open_database
from archive.files import ImageFiles
from config.broker import Queue, Task, redis_url
from config.paths import DataDir
from config.settings import Settings
from workers import maintenance
from workers.decode_pool import DecodePool
from workers.delivery import Desk
from workers.encode import BatchEncoder
from workers.index_owner import IndexOwner, open_owner

REDIS_TIMEOUT = 5.0


class Resources:
    """The database, the encoder, the queue: each at most once for each process."""

    def __init__(self, app: Celery, settings: Settings, folder: DataDir) -> None:
        self.app = app
        self.settings = settings
        self.folder = folder
        self._stack = ExitStack()

    @cached_property
    def database(self) -> Database:
        """The archive."""
        database = open_database(self.settings, self.folder)
        self._stack.callback(database.close)
        return database

    @cached_property
    def files(self) -> ImageFiles:
        """The content store."""
        return ImageFiles(self.folder)

    @cached_property
    def decoders(self) -> DecodePool:
        """Decoder processes."""
        pool = DecodePool(self.settings.decoding)
        self._stack.callback(pool.close)
        return pool

    @property
    def desk(self) -> Desk:
        """What messages to other systems are made from."""

        def make_preview(instance_id: int) -> bool:
            return maintenance.make_preview(self.database, self.files, self.decoders, self.settings, instance_id)

        return Desk(self.database, self.settings, self.folder, make_preview)

    @cached_property
    def encoder(self) -> BatchEncoder:
        """The network and all around it; torch is imported here and nowhere earlier."""
        from retrieval.encoder import Encoder

        options = self.settings.encoder
        network = Encoder.load(options.weights, options.device, threads=options.threads or os.cpu_count() or 1)
        return BatchEncoder(
            self.database,
            self.files,
            self.decoders,
            network,
            self.settings,
            to_match=lambda instance_id: self.send(Task.MATCH, instance_id),
            to_encode=lambda instance_id: self.send(Task.ENCODE, instance_id),
        )

    @cached_property
    def index_owner(self) -> IndexOwner:
        """The index, of which there is one for each data folder."""
        owner = open_owner(self.database, self.settings, self.folder)
        self._stack.callback(owner.close)
        return owner

    @cached_property
    def _redis(self) -> redis.Redis:
        client = redis.Redis.from_url(
            redis_url(self.settings, self.folder), socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
        )
        self._stack.callback(client.close)
        return client

    def send(self, task: Task, instance_id: int) -> None:
        """Put a task for an id into its queue.

        Raises:
            kombu.exceptions.OperationalError: the broker is away.
        """
        self.app.send_task(str(task), args=[instance_id], retry=False)

    def length(self, queue: Queue) -> int:
        """Messages that wait in a queue.

        Raises:
            redis.RedisError: the broker is away.
        """
        return int(self._redis.llen(str(queue)))

    def close(self) -> None:
        """Let go of everything."""
        self._stack.close()
