"""The replay through a whole system: a real listener, real workers, and the same report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.replaying.tables import read_csv


@pytest.mark.timeout(300)
def test_a_replay_over_the_network_judges_every_image(tmp_path: Path, shared: Path) -> None:
    arguments = ["--dataset", "nih", "--images", "40", "--swap", "0.05", "--resend", "0.05", "--rounds", "1"]
    command = [sys.executable, "-m", "cli.main", "replay", str(shared / "data" / "manifest.csv"), "--over-network"]
    done = subprocess.run(
        [*command, *arguments, "-o", str(tmp_path / "out")], capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sent by C-STORE to a whole system" in done.stdout
    lines = read_csv(tmp_path / "out" / "replay.csv")
    assert {line.gallery for line in lines} == {0}
    resent = [line for line in lines if line.kind == "the same pixels again"]
    assert all(line.planted == line.found == 2 for line in resent)
    assert not (tmp_path / "out" / "work").exists()
