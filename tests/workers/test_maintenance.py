"""The reconciler against a real Redis: whatever happens to the queue, what the database says is due gets handed on."""

from __future__ import annotations

import subprocess
from concurrent.futures import Future
from datetime import timedelta

import pytest
import redis
from kombu.exceptions import OperationalError
from sqlalchemy import update

from archive import commitments
from archive.database import Database
from archive.files import ImageFiles
from archive.models import Code, Instance, now
from archive.states import ImageState
from config.broker import Queue, Task, celery_app, redis_url
from config.paths import DataDir
from config.settings import Settings
from tests.workers.conftest import AddImage
from tests.workers.films import film
from workers import maintenance
from workers.decode_pool import DecodePool
from workers.decoder import Outcome
from workers.maintenance import make_preview, reconcile, refresh
from workers.resources import Resources


@pytest.fixture
def resources(settings: Settings, folder: DataDir, redis_process: subprocess.Popen[bytes]) -> Resources:
    return Resources(celery_app(settings, folder), settings, folder)


def set_all(database: Database, **values: object) -> None:
    with database.write() as session:
        session.execute(update(Instance).values(**values))


def look(resources: Resources, database: Database) -> int:
    return reconcile(database, resources.length, resources.send)


def test_what_just_arrived_is_left_to_the_direct_way(
    database: Database, resources: Resources, add_image: AddImage
) -> None:
    add_image(b"one")
    assert look(resources, database) == 0 and resources.length(Queue.ENCODE) == 0


def test_a_commitment_report_that_is_due_is_handed_on(database: Database, resources: Resources) -> None:
    with database.write() as session:
        waiting = commitments.enter(session, "PACS1", "1.2.3", [("1.2", "1.3")])
    assert look(resources, database) == 0
    with database.write() as session:
        commitments.postpone(session, [waiting], 0.0)
    assert look(resources, database) == 1 and resources.length(Queue.NOTIFY) == 1
    assert look(resources, database) == 0


def test_an_emptied_redis_is_filled_again_from_the_database(
    database: Database, settings: Settings, folder: DataDir, resources: Resources, add_image: AddImage
) -> None:
    ids = [add_image(bytes([number])) for number in range(5)]
    for instance_id in ids:
        resources.send(Task.ENCODE, instance_id)
    with redis.Redis.from_url(redis_url(settings, folder)) as client:
        client.flushall()
    set_all(database, due_at=now() - timedelta(seconds=1))
    assert look(resources, database) == 5
    assert resources.length(Queue.ENCODE) == 5


def test_each_state_goes_to_its_queue(database: Database, resources: Resources, add_image: AddImage) -> None:
    states = [ImageState.RECEIVED, ImageState.ENCODED, ImageState.MATCHED, ImageState.FAILED, ImageState.UNSUITABLE]
    for number, state in enumerate(states):
        instance_id = add_image(bytes([number]))
        with database.write() as session:
            session.get_one(Instance, instance_id).state = state
    set_all(database, due_at=now() - timedelta(seconds=1))
    assert look(resources, database) == 2
    assert (resources.length(Queue.ENCODE), resources.length(Queue.MATCH)) == (1, 1)


def test_the_same_image_is_not_handed_on_at_every_look(
    database: Database, resources: Resources, add_image: AddImage
) -> None:
    add_image(b"one")
    set_all(database, due_at=now() - timedelta(seconds=1))
    assert [look(resources, database) for _ in range(3)] == [1, 0, 0]
    set_all(database, due_at=now() - timedelta(seconds=1))
    assert look(resources, database) == 1


def test_a_full_queue_gets_nothing_more(
    database: Database, resources: Resources, add_image: AddImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "FULL_QUEUE", 3)
    for number in range(5):
        add_image(bytes([number]))
    set_all(database, due_at=now() - timedelta(seconds=1))
    assert [look(resources, database) for _ in range(2)] == [3, 0]
    assert resources.length(Queue.ENCODE) == 3


def test_a_redis_that_is_down_loses_nothing(
    database: Database, resources: Resources, redis_process: subprocess.Popen[bytes], add_image: AddImage
) -> None:
    add_image(b"one")
    set_all(database, due_at=now() - timedelta(seconds=1))
    redis_process.kill()
    redis_process.wait()
    with pytest.raises((redis.RedisError, OperationalError)):
        look(resources, database)
    with database.read() as session:
        assert session.query(Instance).one().due_at < now()


def test_images_of_earlier_weights_wait_until_nothing_else_does(
    database: Database, settings: Settings, resources: Resources, add_image: AddImage
) -> None:
    old, new, waiting = (add_image(bytes([number])) for number in range(3))
    with database.write() as session:
        for instance_id, model in ((old, "earlier"), (new, "present")):
            session.get_one(Instance, instance_id).state = ImageState.MATCHED
            session.add(
                Code(instance_pk=instance_id, model_id=model, embedding=b"", code=b"", attention=b"", attention_rows=0)
            )
    set_all(database, due_at=now() - timedelta(seconds=1))
    resources.send(Task.ENCODE, waiting)
    assert refresh(database, settings, "present", resources.length, resources.send) == 0
    with redis.Redis.from_url(redis_url(settings, resources.folder)) as client:
        client.flushall()
    assert refresh(database, settings, "present", resources.length, resources.send) == 1


def test_a_lost_preview_is_made_again(
    database: Database, settings: Settings, files: ImageFiles, add_image: AddImage
) -> None:
    instance_id = add_image(film(1))
    pool = DecodePool(settings.decoding)
    try:
        assert make_preview(database, files, pool, settings, instance_id)
        assert files.preview_path(instance_id).read_bytes()[:3] == b"\xff\xd8\xff"
        assert not make_preview(database, files, pool, settings, 4711)
        assert not make_preview(database, files, pool, settings, add_image(b"no DICOM"))
    finally:
        pool.close()


@pytest.mark.parametrize("change", ["purged", "corrected"])
def test_no_preview_is_made_of_what_an_image_was(
    database: Database,
    settings: Settings,
    files: ImageFiles,
    add_image: AddImage,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    instance_id = add_image(film(1))
    outcome = DecodePool.outcome

    def change_it(pool: DecodePool, future: Future[Outcome]) -> Outcome:
        with database.write() as session:
            image = session.get_one(Instance, instance_id)
            if change == "purged":
                session.delete(image)
            else:
                image.file_digest = "0" * 64
        return outcome(pool, future)

    monkeypatch.setattr(DecodePool, "outcome", change_it)
    pool = DecodePool(settings.decoding)
    try:
        assert not make_preview(database, files, pool, settings, instance_id)
        assert not files.preview_path(instance_id).exists()
    finally:
        pool.close()
