"""What tests of the DICOM node may ask for beside the folder, the settings and the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from archive.database import Database
from config.paths import DataDir
from tests.dicom_node.sending import Sender, listening


@pytest.fixture
def sender(folder: DataDir, database: Database) -> Iterator[Sender]:
    """Sends to a listener with default options."""
    with listening(folder, database) as found:
        yield found
