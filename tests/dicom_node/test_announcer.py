from __future__ import annotations

import base64
import json
import logging
import time

import pytest
import redis

from config.broker import Queue, celery_app, redis_url
from config.paths import DataDir
from config.settings import Settings
from dicom_node.announcer import MOST_WAITING, Announcer


def test_new_images_reach_the_queue_of_the_encoder(settings: Settings, folder: DataDir, queue_server: None) -> None:
    announcer = Announcer(celery_app(settings, folder))
    announcer.start()
    for instance_id in (7, 8, 9):
        announcer.announce(instance_id)
    announcer.stop(20)
    with redis.Redis.from_url(redis_url(settings, folder)) as client:
        messages = [json.loads(message) for message in client.lrange(str(Queue.ENCODE), 0, -1)]
    bodies = [json.loads(base64.b64decode(message["body"])) for message in messages]
    assert sorted(body[0] for body in bodies) == [[7], [8], [9]]
    assert {message["headers"]["task"] for message in messages} == {"encode.image"}


def test_without_redis_nobody_waits_and_one_line_is_logged(
    settings: Settings, folder: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    announcer = Announcer(celery_app(settings, folder))
    announcer.start()
    started = time.monotonic()
    for instance_id in range(MOST_WAITING + 500):
        announcer.announce(instance_id)
    assert time.monotonic() - started < 5.0
    announcer.stop(30)
    assert [record.message.split(" (")[0] for record in caplog.records if record.name == "dicom_node.announcer"] == [
        "New images are not announced"
    ]


def test_announcements_go_on_when_redis_is_there_again(
    settings: Settings, folder: DataDir, request: pytest.FixtureRequest
) -> None:
    announcer = Announcer(celery_app(settings, folder))
    announcer.start()
    announcer.announce(1)
    time.sleep(1.0)
    request.getfixturevalue("queue_server")
    with redis.Redis.from_url(redis_url(settings, folder)) as client:
        until = time.monotonic() + 30
        while not client.llen(str(Queue.ENCODE)) and time.monotonic() < until:
            announcer.announce(2)
            time.sleep(0.5)
        assert client.llen(str(Queue.ENCODE)) > 0
    announcer.stop(10)
