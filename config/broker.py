"""The task queue as every process sees it: names of queues and tasks, and a Celery application bound to Redis."""

from __future__ import annotations

from enum import StrEnum

from celery import Celery

from config.paths import DataDir
from config.settings import Settings


class Queue(StrEnum):
    """A queue of the broker."""

    ENCODE = "encode"
    MATCH = "match"
    QUERY = "query"
    NOTIFY = "notify"
    MAINTENANCE = "maintenance"


class Task(StrEnum):
    """A task's name, by which other packages ask for it; arguments are JSON.

    ENCODE(instance id), MATCH(instance id), SIMILAR({"instance": id} or {"embedding": base64, "code": base64}, k),
    ALIGN({"first": id, "second": id}), NOTIFY(notification id), COMMIT(commitment id), RECONCILE(), REFRESH(),
    SNAPSHOT(), PREVIEW(instance id), PRIORS(), AUDIT_MESSAGES().
    """

    ENCODE = "encode.image"
    MATCH = "match.image"
    SIMILAR = "query.similar"
    ALIGN = "query.align"
    SNAPSHOT = "match.snapshot"
    NOTIFY = "notify.send"
    COMMIT = "notify.commit"
    RECONCILE = "maintenance.reconcile"
    AUDIT_MESSAGES = "maintenance.audit-messages"
    REFRESH = "encode.refresh"
    PREVIEW = "maintenance.preview"
    PRIORS = "maintenance.priors"


ROUTES = {
    Task.ENCODE: Queue.ENCODE,
    Task.MATCH: Queue.MATCH,
    Task.SNAPSHOT: Queue.MATCH,
    Task.SIMILAR: Queue.QUERY,
    Task.ALIGN: Queue.QUERY,
    Task.NOTIFY: Queue.NOTIFY,
    Task.COMMIT: Queue.NOTIFY,
    Task.RECONCILE: Queue.MAINTENANCE,
    Task.AUDIT_MESSAGES: Queue.MAINTENANCE,
    Task.REFRESH: Queue.ENCODE,
    Task.PREVIEW: Queue.MAINTENANCE,
    Task.PRIORS: Queue.MAINTENANCE,
}


def redis_url(settings: Settings, folder: DataDir) -> str:
    """URL for a Redis client: the configured server, or the embedded one's socket."""
    return settings.redis.url or f"unix://{folder.redis_socket}"


def celery_app(settings: Settings, folder: DataDir) -> Celery:
    """A Celery application that speaks JSON only, acknowledges late and routes each task to its queue.

    A message is delivered again when its worker dies; every task therefore may run twice.
    """
    url = redis_url(settings, folder).replace("unix://", "redis+socket://")
    app = Celery("lungprint", broker=url, backend=url)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_routes={str(task): {"queue": str(queue)} for task, queue in ROUTES.items()},
        task_default_queue=str(Queue.MAINTENANCE),
        result_expires=300,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": 900, "socket_timeout": 5, "socket_connect_timeout": 2},
        timezone="UTC",
    )
    return app
