"""Processes of the system."""

from __future__ import annotations

import json
import os

import pytest

from config.paths import DataDir
from dashboard.processes import processes


def test_processes_are_alive_or_gone(folder: DataDir) -> None:
    written = {"processes": {"listener": os.getpid(), "encode": 2**22 + 1}}
    (folder.run / "system.json").write_text(json.dumps(written))
    found = processes(folder)
    assert found is not None
    assert {process.name: process.alive for process in found} == {"listener": True, "encode": False}


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"processes": 3}'])
def test_without_a_readable_file_nothing_is_known(folder: DataDir, text: str | None) -> None:
    if text is not None:
        (folder.run / "system.json").write_text(text)
    assert processes(folder) is None
