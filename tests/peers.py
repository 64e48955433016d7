"""Real peers of a test: DCMTK's tools and Orthanc."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.ports import free_port

START_SECONDS = 60.0


def dcmtk(tool: str) -> str:
    """The path of one of DCMTK's tools; the test is skipped where it is not installed.

    pynetdicom puts tools of the same names into Python's own folder, which is therefore left out.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    ours = Path(sys.executable).parent
    found = shutil.which(tool, path=os.pathsep.join(folder for folder in folders if Path(folder) != ours))
    if found is None:
        pytest.skip(f"{tool} is not installed (Debian: dcmtk)")
    return found


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """DCMTK's `storescp` that keeps what it gets in a folder; gives its port."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    command = [dcmtk("storescp"), "--output-directory", str(folder), "+B", *options, str(port)]
    log = folder.parent / f"{folder.name}.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            # A look at /proc instead of a connection: storescp would count that as an association.
            wait_for_server(process, lambda: f":{port:04X} " in _listening(), log)
            yield port
        finally:
            process.kill()


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc.

    Attributes:
        port: of DICOM.
        url: of its REST interface.
    """

    port: int
    url: str

    def ask(self, path: str, body: bytes | dict[str, Any] | None = None) -> Any:
        """The answer of its REST interface, to a POST where there is a body."""
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.url + path, data=content)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.loads(answer.read())

    def upload(self, image: Dataset) -> str:
        """Give it an image; returns its own id of it."""
        content = io.BytesIO()
        image.save_as(content, enforce_file_format=True)
        return str(self.ask("/instances", content.getvalue())["ID"])


@contextmanager
def orthanc(folder: Path, **options: Any) -> Iterator[Orthanc]:
    """An Orthanc that keeps what it gets in a folder; the test is skipped where it is not installed.

    Args:
        options: of its configuration file; paths in it are those in the folder.
    """
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("Orthanc is not installed (Debian: orthanc)")
    folder.mkdir(parents=True, exist_ok=True)
    port, web = free_port(), free_port()
    given = {
        "Name": "test",
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "DicomAlwaysAllowStore": True,
        "HttpPort": web,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [],
    }
    configuration, log = folder / "orthanc.json", folder / "orthanc.log"
    configuration.write_text(json.dumps(given | options))
    with (
        log.open("wb") as output,
        subprocess.Popen([program, str(configuration)], cwd=folder, stdout=output, stderr=output) as process,
    ):
        running = Orthanc(port, f"http://127.0.0.1:{web}")
        try:
            wait_for_server(process, lambda: _answers(running), log)
            yield running
        finally:
            process.kill()


def wait_for_server(process: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path) -> None:
    """Until it is ready; where it ended, or START_SECONDS have passed, the test fails and shows the end of its log."""
    until = time.monotonic() + START_SECONDS
    while not is_ready():
        assert process.poll() is None and time.monotonic() < until, log.read_text(errors="replace")[-2000:]
        time.sleep(0.05)


def _answers(server: Orthanc) -> bool:
    try:
        return bool(server.ask("/system"))
    except OSError:
        return False


def dciodvfy(path: Path) -> list[str]:
    """Errors that dicom3tools finds in a file; the test is skipped where it is not installed."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False, timeout=60)
    said = (done.stdout + done.stderr).splitlines()
    assert said, "dciodvfy names the kind of object at least"
    return [line for line in said if line.startswith(("Error", "Abort"))]


def _listening() -> str:
    return "".join(
        line
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines(True)
        if " 0A " in line
    )
