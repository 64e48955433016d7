"""A whole system under its supervisor: what dies comes back, a killed supervisor leaves nothing, a stop is clean."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.system.running import RunningSystem

pytestmark = pytest.mark.timeout(600)

NAMES = {"redis", "listener", "encode", "match", "maintenance", "beat", "dashboard"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    made = RunningSystem(tmp_path_factory.mktemp("supervisor") / "system")
    made.start()
    yield made
    made.close()


def up(system: RunningSystem, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A second `up`, which is expected to refuse."""
    return subprocess.run(
        system.command("up", *arguments), env=system.environ, capture_output=True, text=True, timeout=240, check=False
    )


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_every_process_runs_and_has_a_log(system: RunningSystem) -> None:
    assert set(system.processes()) == NAMES
    assert all(psutil.pid_exists(pid) for pid in system.processes().values())
    assert {path.stem for path in (system.root / "logs").glob("*.log")} == NAMES | {"supervisor"}


def test_the_password_of_the_first_login_is_shown_and_kept_nowhere(system: RunningSystem) -> None:
    shown = system.log.read_text()
    assert shown.count("first login, shown this once") == 1
    password = next(line.split("password")[1].strip(" │") for line in shown.splitlines() if "password  " in line)
    assert len(password) >= 12
    files = [path for path in system.root.rglob("*") if path.is_file() and not path.is_socket()]
    assert not [path for path in files if password.encode() in path.read_bytes()]


@pytest.mark.parametrize("name", ["beat", "redis"])
def test_what_is_killed_comes_back(system: RunningSystem, name: str) -> None:
    before = system.processes()
    system.kill(name)
    system.wait_for(lambda: system.processes().get(name, before[name]) != before[name], 20, f"a new {name}")
    after = system.processes()
    assert {other: pid for other, pid in after.items() if other != name} == {
        other: pid for other, pid in before.items() if other != name
    }


def test_a_second_supervisor_is_refused_with_a_plain_sentence(system: RunningSystem) -> None:
    refused = up(system)
    assert refused.returncode == 2
    assert refused.stderr.startswith("lungprint: A Lungprint system already runs in")
    assert "Traceback" not in refused.stderr


def test_a_taken_port_is_refused_with_a_plain_sentence(system: RunningSystem, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        elsewhere = RunningSystem(tmp_path / "other")
        refused = up(elsewhere, "--dicom-port", str(port))
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert f"Port {port} for the DICOM listener is used by another program" in refused.stderr


def test_a_killed_supervisor_leaves_nothing_and_the_next_starts_at_once(system: RunningSystem) -> None:
    before = system.processes()
    system.kill("supervisor")
    system.wait_for(lambda: all(is_gone(pid) for pid in before.values()), 10, "the end of all processes")
    system.start()
    assert not set(before.values()) & set(system.processes().values())


def is_empty(group: int) -> bool:
    """Whether no process is left in a process group."""
    try:
        os.killpg(group, signal.SIG_DFL)
    except ProcessLookupError:
        return True
    return False


def test_a_stop_is_clean(system: RunningSystem) -> None:
    pids = system.processes().values()
    groups = list(pids)
    assert system.stop() == 0
    assert all(is_gone(pid) for pid in pids)
    system.wait_for(lambda: all(is_empty(group) for group in groups), 10, "the end of all helpers of the processes")
    assert not (system.root / "run" / "system.json").exists()
    assert "is killed" not in (system.root / "logs" / "supervisor.log").read_text()
