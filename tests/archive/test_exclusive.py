"""A task that one process at a time may have; for machines that share a PostgreSQL see tests/system."""

from __future__ import annotations

import subprocess
import sys

from archive.database import Database
from archive.exclusive import take
from config.paths import DataDir


def test_one_has_it_until_it_is_given_back(database: Database, folder: DataDir) -> None:
    first = take(database, folder, "a-task")
    assert first is not None
    first.check()
    assert take(database, folder, "a-task") is None
    other = take(database, folder, "another-task")
    assert other is not None
    other.close()
    first.close()
    again = take(database, folder, "a-task")
    assert again is not None
    again.close()


def test_a_killed_process_has_it_no_longer(database: Database, folder: DataDir) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from archive.database import Database\n"
        "from archive.exclusive import take\n"
        "from config.paths import DataDir\n"
        "assert take(Database(sys.argv[1]), DataDir(Path(sys.argv[2])), 'a-task') is not None\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", code, f"sqlite:///{folder.database}", str(folder.root)], check=False)
    assert died.returncode == -9
    found = take(database, folder, "a-task")
    assert found is not None
    found.close()
