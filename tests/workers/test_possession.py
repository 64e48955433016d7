"""One supervisor for each folder, what a killed one left, and ports that are taken."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from config.paths import DataDir
from tests.ports import free_port
from workers import possession
from workers.possession import AlreadyRunning, PortInUse, SystemFile, chosen_port, end_leftovers, system_file

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


def sleeper(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(SLEEP, env={**os.environ, "LUNGPRINT_DATA_DIR": str(folder)}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def record(folder: DataDir, **pids: int) -> None:
    SystemFile(1, 11112, 8080, "127.0.0.1", "LUNGPRINT", "2024-01-01T00:00:00+00:00", pids).write(folder)


def test_two_supervisors_do_not_share_a_folder(folder: DataDir) -> None:
    refused = pytest.raises(AlreadyRunning, match="already runs in")
    with possession.possession(folder), refused, possession.possession(folder):
        pass
    with possession.possession(folder):
        pass


def test_leftovers_of_a_killed_system_are_ended(folder: DataDir) -> None:
    ours = sleeper(folder.root)
    record(folder, encode=ours.pid)
    assert end_leftovers(folder) == [ours.pid]
    assert ours.wait(5) == -9


def test_a_process_id_that_now_belongs_to_another_program_is_left_alone(folder: DataDir) -> None:
    stranger = sleeper(folder.root.parent / "another system")
    try:
        record(folder, encode=stranger.pid, match=2**22 - 1, beat=os.getpid())
        assert end_leftovers(folder) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"processes": 3}', '{"processes": {"encode": "x"}}'])
def test_a_torn_system_file_stops_nobody(folder: DataDir, text: str) -> None:
    system_file(folder).write_text(text)
    assert end_leftovers(folder) == []


def test_the_system_file_says_what_other_commands_need(folder: DataDir) -> None:
    record(folder, listener=42)
    found = json.loads(system_file(folder).read_text())
    assert found["dicom_port"] == 11112 and found["processes"] == {"listener": 42}


def test_a_taken_port_is_one_plain_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(possession, "PORT_SECONDS", 0.2)
    port = free_port()
    said = f"Port {port} for the DICOM listener is used .* --dicom-port"
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortInUse, match=said):
        chosen_port("127.0.0.1", port, "DICOM listener", "--dicom-port")
    assert chosen_port("127.0.0.1", port, "DICOM listener", "--dicom-port") == port


def test_port_zero_becomes_a_free_port() -> None:
    port = chosen_port("127.0.0.1", 0, "dashboard", "--web-port")
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortInUse, match=r"cannot listen on 192\.0\.2\.1"):
        chosen_port("192.0.2.1", 0, "dashboard", "--web-port")
