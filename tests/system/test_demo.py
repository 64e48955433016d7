"""The demo from end to end: a whole system, a real association, and the table at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def demo(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli.main", "demo", "--exit", "--scratch", str(place / "demo"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


@pytest.mark.timeout(300)
def test_the_demo_shows_what_was_sent_and_found_and_leaves_nothing_running(tmp_path: Path) -> None:
    done = demo(tmp_path, "--images", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in ("under another patient", "should be", "missed", "false", "Dashboard http://127.0.0.1:"):
        assert expected in done.stdout
    assert not (tmp_path / "demo" / "data" / "run" / "system.json").exists()


@pytest.mark.timeout(300)
def test_the_demo_with_real_images_processes_all_of_them(tmp_path: Path, shared: Path) -> None:
    done = demo(tmp_path, "--json", "--images", "60", "--data", str(shared / "data" / "manifest.csv"))
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert found["unsettled"] == 0
    counts = found["counts"]
    assert sum(kind["sent"] for kind in counts.values()) >= 60
    assert counts["duplicate_image"] == {"sent": 1, "as_expected": 1}
    assert counts["lateral"]["sent"] == counts["lateral"]["as_expected"] > 0
    assert counts["wrong_patient"]["sent"] >= 2


def test_a_folder_that_is_not_a_demo_s_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "demo" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("keep me")
    done = demo(tmp_path)
    assert done.returncode == 2
    assert "choose an empty one" in done.stderr
    assert precious.read_text() == "keep me"


def test_too_few_images_are_said(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.csv").write_text("file,patient\na.png,P1\nb.png,P2\n")
    done = demo(tmp_path, "--data", str(tmp_path / "data"))
    assert done.returncode == 2
    assert "at least two patients" in done.stderr
