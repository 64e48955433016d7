"""Which processes make up one system, and how each is called."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from config.broker import Queue
from config.paths import DataDir
from config.settings import ENV_PREFIX, Settings
from workers import redis_server
from workers.process import Command

# Batches that the encode worker may hold: one in the network, one decoding, one arriving.
PREFETCHED_BATCHES = 3
# Beside messages to other systems, the maintenance worker always has a thread for the reconciler.
MAINTENANCE_THREADS = 4
# An image is compared with so few that a matrix product's second thread would only wait, and waits by spinning.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def commands(
    settings: Settings, folder: DataDir, flags: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Command]:
    """The processes by name, in the order in which they are started.

    Args:
        flags: options of the command line, handed on to every process; see `environment`.
    """
    environ = environment(folder, flags)
    prefetch = PREFETCHED_BATCHES * settings.encoder.batch_size
    threads = ["--pool", "threads", "--concurrency"]
    calls = {
        "listener": ["-m", "dicom_node.listener"],
        "encode": _worker("encode", [Queue.ENCODE], [*threads, "1", "--prefetch-multiplier", str(prefetch)], settings),
        "match": _worker("match", [Queue.MATCH, Queue.QUERY], ["--pool", "solo"], settings),
        "maintenance": _worker(
            "maintenance", [Queue.NOTIFY, Queue.MAINTENANCE], [*threads, str(MAINTENANCE_THREADS)], settings
        ),
        "beat": [*_CELERY, "beat", "--scheduler", "celery.beat:Scheduler", "--pidfile=", *_log_level(settings)],
        "dashboard": ["-m", "dashboard"],
    }
    if settings.hl7.port:
        calls["hl7"] = ["-m", "dicom_node.hl7_listener"]
    found = {name: Command(name, [sys.executable, *call], environ) for name, call in calls.items()}
    found["match"] = replace(found["match"], environ=_ONE_THREAD | environ)
    if settings.redis.url:
        return found
    return {"redis": Command("redis", redis_server.arguments(folder), environ)} | found


def environment(folder: DataDir, flags: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, str]:
    """The environment of every process: the data folder, and the command line's options as `LUNGPRINT_*` variables."""
    given = {
        f"{ENV_PREFIX}{section}_{option}".upper(): value if isinstance(value, str) else json.dumps(value)
        for section, options in (flags or {}).items()
        for option, value in options.items()
        if value is not None
    }
    return {**os.environ, **given, "LUNGPRINT_DATA_DIR": str(folder.root), "PYTHONUNBUFFERED": "1"}


_CELERY = ["-m", "celery", "-A", "workers.app"]


def _worker(name: str, queues: list[Queue], pool: list[str], settings: Settings) -> list[str]:
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    names = ["--hostname", f"{name}@%h", "--queues", ",".join(queues)]
    return [*_CELERY, "worker", *names, *pool, *quiet, *_log_level(settings)]


def _log_level(settings: Settings) -> list[str]:
    return ["--loglevel", settings.log.level]
