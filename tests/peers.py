"""Real peers of a test: DCMTK's tools and Orthanc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.running import free_port


def dcmtk(tool: str) -> str:
    """The path of one of DCMTK's tools; the test is skipped where it is not installed.

    pynetdicom puts tools of the same names into Python's own folder, which is therefore left out.
    """
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != Path(sys.executable).parent]
    found = shutil.which(tool, path=os.pathsep.join(folders))
    if found is None:
        pytest.skip(f"{tool} is not installed (Debian: dcmtk)")
    return found


@contextmanager
def storescp(folder: Path, *options: str, port: int = 0) -> Iterator[int]:
    """DCMTK's `storescp` that keeps what it gets in a folder; gives its port."""
    port = port or free_port()
    folder.mkdir(exist_ok=True)
    command = [dcmtk("storescp"), "--output-directory", str(folder), "+B", *options, str(port)]
    with (
        (folder.parent / f"{folder.name}.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            # A look at /proc instead of a connection: storescp would count that as an association.
            until = time.monotonic() + 20
            while f":{port:04X} " not in _listening():
                assert process.poll() is None and time.monotonic() < until, "storescp does not start"
                time.sleep(0.02)
            yield port
        finally:
            process.kill()


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc."""

    dicom_port: int
    url: str

    def ask(self, path: str, content: bytes | None = None) -> Any:
        """The answer of its REST interface; with content it is a POST."""
        request = urllib.request.Request(self.url + path, data=content)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.loads(answer.read())


@contextmanager
def orthanc(folder: Path, **options: Any) -> Iterator[Orthanc]:
    """An Orthanc that keeps what it gets in a folder; the test is skipped where it is not installed."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("Orthanc is not installed (Debian: orthanc)")
    folder.mkdir(exist_ok=True)
    running = Orthanc(free_port(), f"http://127.0.0.1:{free_port()}")
    given = {
        "Name": "test",
        "DicomAet": "ORTHANC",
        "DicomPort": running.dicom_port,
        "DicomAlwaysAllowStore": True,
        "HttpPort": int(running.url.rpartition(":")[2]),
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [],
    }
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(given | options))
    with (
        (folder / "orthanc.log").open("wb") as log,
        subprocess.Popen([program, str(configuration)], stdout=log, stderr=log) as process,
    ):
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    running.ask("/system")
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < until, (folder / "orthanc.log").read_text()
                    time.sleep(0.1)
            yield running
        finally:
            process.terminate()
            process.wait(30)


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
