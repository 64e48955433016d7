"""Servers that tests start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import wait_for_server


def test_a_server_that_ends_fails_its_test_with_what_it_said(tmp_path: Path) -> None:
    log, command = tmp_path / "log", [sys.executable, "-c", "print('in use')"]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output) as server,
        pytest.raises(AssertionError, match="in use"),
    ):
        wait_for_server(server, lambda: False, log)
