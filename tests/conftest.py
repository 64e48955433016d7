"""What every test may ask for: a data folder, default settings and a migrated database."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from archive.database import Database, open_database
from config.broker import redis_url
from config.paths import DataDir, data_dir
from config.settings import Settings, load_settings
from workers.redis_server import answers, arguments

# The same examples every time: a change is judged by what it changed. HYPOTHESIS_PROFILE=search looks for new ones.
hypothesis_settings.register_profile("same", derandomize=True)
hypothesis_settings.register_profile("search", derandomize=False)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(autouse=True)
def _own_log_level() -> Iterator[None]:
    """Whatever a test sets up as the level of the process's log, such as a worker in a thread, ends with it."""
    before = logging.root.level
    yield
    logging.root.setLevel(before)


@pytest.fixture
def folder(tmp_path: Path) -> DataDir:
    """An empty data folder."""
    made = data_dir(tmp_path / "data")
    made.create()
    return made


@pytest.fixture
def settings(folder: DataDir) -> Settings:
    """The shipped defaults, whatever the environment says."""
    return load_settings(folder.root, environ={})


@pytest.fixture
def database(settings: Settings, folder: DataDir) -> Iterator[Database]:
    """A database with the newest schema."""
    opened = open_database(settings, folder)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def queue_server(settings: Settings, folder: DataDir) -> Iterator[None]:
    """The embedded Redis server of the data folder, with nothing in its queues."""
    with subprocess.Popen(arguments(folder), stdout=subprocess.DEVNULL) as server:
        until = time.monotonic() + 20
        while not answers(redis_url(settings, folder)):
            assert server.poll() is None and time.monotonic() < until, "the embedded Redis does not start"
            time.sleep(0.02)
        yield
        server.terminate()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real X-rays and DICOM files, where there is one."""
    place = Path(os.environ.get("LUNGPRINT_SHARED", Path(__file__).parents[2] / "shared"))
    if not (place / "data" / "manifest.csv").exists():
        pytest.skip(f"no real images at {place}")
    return place
