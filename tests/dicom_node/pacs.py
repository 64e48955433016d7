"""Two real PACS on this machine, DCMTK's dcmqrscp and Orthanc, filled with images of a test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from tests import peers
from tests.listening import save
from tests.peers import Orthanc, dcmtk, wait_for_server
from tests.ports import free_port

TITLE = "PACS1"


@contextmanager
def dcmqrscp(folder: Path, images: Sequence[Dataset], destination: int) -> Iterator[int]:
    """DCMTK's archive, which sends to LUNGPRINT at a port of this machine; yields the port it listens on."""
    port, store, log = free_port(), folder / "store", folder / "dcmqrscp.log"
    store.mkdir(parents=True)
    files = [str(save(image, store / f"{number}.dcm")) for number, image in enumerate(images)]
    subprocess.run([dcmtk("dcmqridx"), str(store), *files], check=True, timeout=60)
    (folder / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nlungprint = (LUNGPRINT, 127.0.0.1, {destination})\nHostTable END\n"
        f"AETable BEGIN\n{TITLE} {store} RW (500, 1024mb) ANY\nAETable END\n"
    )
    command = [dcmtk("dcmqrscp"), "-v", "-c", str(folder / "dcmqrscp.cfg")]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            wait_for_server(server, lambda: _echo(port), log)
            yield port
        finally:
            server.kill()


@contextmanager
def orthanc(folder: Path, destination: int, images: Sequence[Dataset] = (), **options: Any) -> Iterator[Orthanc]:
    """An Orthanc that knows LUNGPRINT at a port of this machine.

    Args:
        options: of its configuration file.
    """
    known = {
        "DicomAet": TITLE,
        "DicomModalities": {"lungprint": ["LUNGPRINT", "127.0.0.1", destination]},
        "DicomAlwaysAllowEcho": True,
    }
    with peers.orthanc(folder, **known | options) as server:
        for image in images:
            server.upload(image)
        yield server


def _echo(port: int) -> bool:
    command = [dcmtk("echoscu"), "-aec", TITLE, "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
