"""What tests of the workers share: the embedded Redis server, and images in the archive."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archive.database import Database
from archive.files import ImageFiles
from archive.intake import Header, StoredFile, register
from config.broker import redis_url
from config.paths import DataDir
from config.settings import Settings
from workers import redis_server

AddImage = Callable[[bytes], int]


@contextmanager
def running_redis(settings: Settings, folder: DataDir) -> Iterator[subprocess.Popen[bytes]]:
    """The embedded server of a data folder."""
    with (folder.logs / "redis.log").open("ab") as log:
        process = subprocess.Popen(redis_server.arguments(folder), stdout=log, stderr=log)
    try:
        wait_for(lambda: redis_server.answers(redis_url(settings, folder)))
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(done: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def redis_process(settings: Settings, folder: DataDir) -> Iterator[subprocess.Popen[bytes]]:
    """A running embedded Redis server."""
    with running_redis(settings, folder) as process:
        yield process


@pytest.fixture
def files(folder: DataDir) -> ImageFiles:
    """The content store."""
    return ImageFiles(folder)


@pytest.fixture
def add_image(database: Database, settings: Settings, files: ImageFiles, tmp_path: Path) -> AddImage:
    """Stores bytes as if a peer had sent them; returns the new image's id."""
    count = 0

    def add(content: bytes) -> int:
        nonlocal count
        count += 1
        digest = hashlib.sha256(content).hexdigest()
        arrived = tmp_path / f"arrived-{count}"
        arrived.write_bytes(content)
        files.keep(arrived, digest)
        header = Header(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
            sop_instance_uid=f"1.2.3.{count}",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            study_instance_uid="1.2",
            series_instance_uid="1.2.0",
            patient_id="P1",
        )
        return register(database, settings, header, StoredFile(digest, len(content))).instance_id

    return add
