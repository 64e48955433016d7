"""A real encode worker on a real queue: what survives a restart of Redis, a kill, and a message nobody can read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Instance
from archive.states import ImageState
from config.broker import Queue, Task, celery_app, redis_url
from config.paths import DataDir
from config.settings import Settings
from tests.workers.conftest import AddImage, running_redis, wait_for
from tests.workers.films import film
from workers.processes import commands
from workers.readiness import ready_file_says
from workers.resources import Resources

pytestmark = pytest.mark.timeout(600)


@contextmanager
def worker(name: str, settings: Settings, folder: DataDir) -> Iterator[subprocess.Popen[bytes]]:
    """One of the system's workers, ready."""
    command = commands(settings, folder)[name]
    with (folder.logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            list(command.arguments), env=dict(command.environ), stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(lambda: ready_file_says(folder, name, process.pid), 240)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def is_encoded(database: Database, instance_id: int) -> bool:
    with database.read() as session:
        return session.get_one(Instance, instance_id).state is ImageState.ENCODED


def test_a_lone_image_is_encoded_after_redis_was_restarted_under_a_waiting_batch(
    database: Database, settings: Settings, folder: DataDir, files: ImageFiles, add_image: AddImage
) -> None:
    # Messages wait for their batch longer than Redis lives: the worker loses its timers in that moment.
    patient = settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"batch_wait_ms": 10_000})})
    folder.root.joinpath("lungprint.toml").write_text("[encoder]\nbatch_wait_ms = 10000\n")
    resources = Resources(celery_app(patient, folder), patient, folder)
    first, second = add_image(film(1)), add_image(film(2))
    with running_redis(settings, folder) as server, worker("encode", patient, folder) as process:
        resources.send(Task.ENCODE, first)
        # The decoder works on it, so the message is in the batch.
        wait_for(files.preview_path(first).exists)
        server.kill()
        server.wait()
        with running_redis(settings, folder):
            with redis.Redis.from_url(redis_url(settings, folder)) as client:
                client.flushall()
            resources.send(Task.ENCODE, second)
            wait_for(lambda: is_encoded(database, second), 90)
            wait_for(lambda: resources.length(Queue.MATCH) >= 1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_an_image_taken_by_a_killed_worker_is_encoded_by_the_next(
    database: Database, settings: Settings, folder: DataDir, add_image: AddImage
) -> None:
    instance_id = add_image(film(1))
    resources = Resources(celery_app(settings, folder), settings, folder)
    folder.root.joinpath("lungprint.toml").write_text("[encoder]\nbatch_wait_ms = 20000\n")
    with running_redis(settings, folder):
        with worker("encode", settings, folder):
            resources.send(Task.ENCODE, instance_id)
            wait_for(lambda: resources.length(Queue.ENCODE) == 0)
        assert not is_encoded(database, instance_id)
        folder.root.joinpath("lungprint.toml").unlink()
        with worker("encode", settings, folder):
            resources.app.send_task(str(Task.ENCODE), args=["no id"])
            resources.send(Task.ENCODE, instance_id)
            wait_for(lambda: is_encoded(database, instance_id), 90)


def test_a_worker_that_cannot_work_says_why_and_ends(folder: DataDir, settings: Settings) -> None:
    broken = {**commands(settings, folder)["encode"].environ, "LUNGPRINT_ENCODER_WEIGHTS": "no-such-weights"}
    with running_redis(settings, folder):
        done = subprocess.run(
            list(commands(settings, folder)["encode"].arguments),
            env=broken,
            capture_output=True,
            timeout=240,
            check=False,
        )
    assert done.returncode != 0
    assert b"There are no weights 'no-such-weights'" in done.stderr
    assert not (folder.run / "encode.ready").exists()


def test_a_worker_whose_gpu_broke_ends_so_that_another_is_started(folder: DataDir) -> None:
    code = """
import workers.app
from retrieval.errors import DeviceFailed

class BrokenDevice:
    def run(self, ids):
        raise DeviceFailed("The GPU failed.")

workers.app.resources.encoder = BrokenDevice()
workers.app.encode_images.run([])
print("went on")
"""
    environ = {**os.environ, "LUNGPRINT_DATA_DIR": str(folder.root)}
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], env=environ, cwd=root, capture_output=True, check=False)
    assert done.returncode == 1 and b"went on" not in done.stdout
    assert b"the GPU failed, this worker ends" in done.stderr


def test_workers_import_no_network_library_unless_they_encode(folder: DataDir) -> None:
    code = "import sys, workers.app; sys.exit('torch' in sys.modules or 'pynetdicom' in sys.modules)"
    environ = {**os.environ, "LUNGPRINT_DATA_DIR": str(folder.root)}
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], env=environ, cwd=root, check=False).returncode == 0
