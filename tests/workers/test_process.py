"""A supervised process: it dies with its parent, comes back at once but not in a loop, and its log stays small."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.workers.conftest import wait_for
from workers import process
from workers.process import Child, Command


def child(tmp_path: Path, code: str) -> Child:
    return Child(Command("test", [sys.executable, "-c", code], os.environ), tmp_path / "test.log")


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    one = child(tmp_path, "import sys; print('to out'); print('to err', file=sys.stderr)")
    one.start()
    wait_for(lambda: one.ended() == 0)
    assert sorted(one.log.read_text().split("\n")) == ["", "to err", "to out"]


def test_the_first_restart_is_immediate_and_the_next_ones_wait_longer(tmp_path: Path) -> None:
    one = child(tmp_path, "raise SystemExit(3)")
    pauses = []
    for _ in range(10):
        one.start()
        wait_for(lambda: one.ended() == 3)
        pauses.append(one.plan_restart())
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert one.pid is None and one.restarts == 10


def test_a_process_that_ran_well_is_restarted_at_once_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = child(tmp_path, "")
    for _ in range(3):
        one.start()
        wait_for(lambda: one.ended() == 0)
        one.plan_restart()
    monkeypatch.setattr(process, "STEADY_SECONDS", 0.0)
    one.start()
    wait_for(lambda: one.ended() == 0)
    assert one.plan_restart() == 0.0


def test_a_full_log_is_put_aside_while_its_writer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_BYTES", 1000)
    one = child(tmp_path, "import time\nfor n in range(10_000): print(f'line {n}', flush=True); time.sleep(0.001)")
    one.start()
    try:
        for generation in range(1, process.LOGS_KEPT + 3):
            wait_for(lambda: one.log.stat().st_size >= 1000)
            one.rotate_log()
            assert one.log.stat().st_size < 1000
            kept = sorted(path.name for path in tmp_path.glob("test.log.*"))
            assert kept == [f"test.log.{n}" for n in range(1, min(generation, process.LOGS_KEPT) + 1)]
    finally:
        one.kill_group()


PARENT = """
import os, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from workers.process import Child, Command
one = Child(Command("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], os.environ), Path({log!r}))
one.start()
print(one.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_a_killed_parent_takes_its_children_with_it(tmp_path: Path) -> None:
    code = PARENT.format(root=str(Path(__file__).parents[2]), log=str(tmp_path / "log"))
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_group_is_killed_with_its_grandchildren(tmp_path: Path) -> None:
    grandchild = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    one = child(tmp_path, grandchild)
    one.start()
    assert one.pid is not None
    started = psutil.Process(one.pid)
    wait_for(lambda: len(started.children()) == 1)
    [below] = started.children()
    one.kill_group()
    wait_for(lambda: not below.is_running() or below.status() == psutil.STATUS_ZOMBIE)
