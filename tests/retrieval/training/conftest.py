"""A small manifest, whose images are prepared once for all tests, and its sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.training.run import Sources
from tests.toys import toy_manifest


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder = tmp_path_factory.mktemp("toys")
    return Sources(toy_manifest(folder), folder / "cache")


@pytest.fixture(scope="session")
def manifest(sources: Sources) -> Path:
    return sources.manifest
