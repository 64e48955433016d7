"""What every test may ask for: a data folder, default settings and a migrated database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive.database import Database, open_database
from config.paths import DataDir, data_dir
from config.settings import Settings, load_settings


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


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real X-rays and DICOM files, where there is one."""
    place = Path(os.environ.get("LUNGPRINT_SHARED", Path(__file__).parents[2] / "shared"))
    if not (place / "data" / "manifest.csv").exists():
        pytest.skip(f"no real images at {place}")
    return place
