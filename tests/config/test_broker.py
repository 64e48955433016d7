"""The task queue's rules: JSON only, acknowledged late, every task in a queue."""

from __future__ import annotations

import pytest
from kombu.exceptions import ContentDisallowed
from kombu.serialization import dumps, loads

from config.broker import ROUTES, Queue, Task, celery_app, redis_url
from config.paths import DataDir
from config.settings import Settings, load_settings


def test_every_task_has_a_queue_and_every_queue_a_task() -> None:
    assert set(ROUTES) == set(Task)
    assert set(ROUTES.values()) == set(Queue)


def test_nothing_but_json_is_accepted(settings: Settings, folder: DataDir) -> None:
    app = celery_app(settings, folder)
    content_type, encoding, payload = dumps({"an": "object"}, serializer="pickle")
    with pytest.raises(ContentDisallowed):
        loads(payload, content_type, encoding, accept=app.conf.accept_content)


def test_a_message_outlives_the_worker_that_took_it(settings: Settings, folder: DataDir) -> None:
    conf = celery_app(settings, folder).conf
    assert conf.task_acks_late and conf.task_reject_on_worker_lost and conf.worker_prefetch_multiplier == 1


def test_the_embedded_server_is_reached_by_its_socket(settings: Settings, folder: DataDir) -> None:
    assert redis_url(settings, folder) == f"unix://{folder.redis_socket}"
    assert celery_app(settings, folder).conf.broker_url == f"redis+socket://{folder.redis_socket}"


def test_another_server_is_used_when_configured(folder: DataDir) -> None:
    elsewhere = load_settings(folder.root, {"LUNGPRINT_REDIS_URL": "redis://queue.example:6379/3"})
    assert redis_url(elsewhere, folder) == "redis://queue.example:6379/3"
    assert celery_app(elsewhere, folder).conf.broker_url == "redis://queue.example:6379/3"
