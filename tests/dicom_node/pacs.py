"""Two real PACS on this machine, DCMTK's dcmqrscp and Orthanc, filled with images of a test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from tests.listening import save
from tests.system.running import free_port

TITLE = "PACS1"
ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
START_SECONDS = 60.0


def dcmtk(program: str) -> str:
    """The path of one of DCMTK's programs, "" where it is not installed; pynetdicom installs others of these names."""
    ours = str(Path(sys.executable).parent)
    others = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place != ours]
    return shutil.which(program, path=os.pathsep.join(others)) or ""


@contextmanager
def dcmqrscp(folder: Path, images: Sequence[Dataset], destination: int) -> Iterator[int]:
    """DCMTK's archive, which sends to LUNGPRINT at a port of this machine; yields the port it listens on."""
    port, store = free_port(), folder / "store"
    store.mkdir(parents=True)
    files = [str(save(image, store / f"{number}.dcm")) for number, image in enumerate(images)]
    subprocess.run([dcmtk("dcmqridx"), str(store), *files], check=True, timeout=60)
    (folder / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nlungprint = (LUNGPRINT, 127.0.0.1, {destination})\nHostTable END\n"
        f"AETable BEGIN\n{TITLE} {store} RW (500, 1024mb) ANY\nAETable END\n"
    )
    with (folder / "dcmqrscp.log").open("wb") as log:
        command = [dcmtk("dcmqrscp"), "-v", "-c", str(folder / "dcmqrscp.cfg")]
        with subprocess.Popen(command, stdout=log, stderr=log) as server:
            try:
                _wait_for(lambda: _echo(port), folder / "dcmqrscp.log")
                yield port
            finally:
                server.terminate()


class Orthanc:
    """A running Orthanc.

    Attributes:
        port: of DICOM.
    """

    def __init__(self, port: int, web: int) -> None:
        self.port = port
        self._web = web
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, body: bytes | dict[str, Any] | None = None) -> Any:
        """The answer of its REST interface, to a POST where there is a body."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(f"http://127.0.0.1:{self._web}{path}", data=data)
        with self._opener.open(request, timeout=60) as response:
            return json.loads(response.read())

    def upload(self, image: Dataset, folder: Path) -> str:
        """Give it an image; returns its own id of it."""
        content = save(image, folder / "upload.dcm").read_bytes()
        return str(self.ask("/instances", content)["ID"])


@contextmanager
def orthanc(
    folder: Path, destination: int, images: Sequence[Dataset] = (), script: str = "", **options: Any
) -> Iterator[Orthanc]:
    """An Orthanc that knows LUNGPRINT at a port of this machine.

    Args:
        script: Lua. options: of its configuration file.
    """
    assert ORTHANC is not None
    folder.mkdir(parents=True, exist_ok=True)
    made = Orthanc(free_port(), web := free_port())
    configuration: dict[str, Any] = {
        "Name": "test",
        "DicomAet": TITLE,
        "DicomPort": made.port,
        "HttpPort": web,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [],
        "DicomModalities": {"lungprint": ["LUNGPRINT", "127.0.0.1", destination]},
        "DicomAlwaysAllowEcho": True,
    }
    if script:
        (folder / "script.lua").write_text(script)
        configuration["LuaScripts"] = [str(folder / "script.lua")]
    (folder / "orthanc.json").write_text(json.dumps(configuration | options))
    with (
        (folder / "orthanc.log").open("wb") as log,
        subprocess.Popen([ORTHANC, str(folder / "orthanc.json")], cwd=folder, stdout=log, stderr=log) as server,
    ):
        try:
            _wait_for(lambda: _answers(made), folder / "orthanc.log")
            for image in images:
                made.upload(image, folder)
            yield made
        finally:
            server.terminate()


def _echo(port: int) -> bool:
    command = [dcmtk("echoscu"), "-aec", TITLE, "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def _answers(server: Orthanc) -> bool:
    try:
        return bool(server.ask("/system"))
    except OSError:
        return False


def _wait_for(ready: Any, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while not ready():
        assert time.monotonic() < until, log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)
