"""One supervisor for each data folder: its lock, what it tells other commands, and what a killed one left behind."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config.errors import ConfigurationError, LungprintError
from config.paths import DataDir

# A killed predecessor's processes are killed by the kernel at once; their ports follow within moments.
PORT_SECONDS = 3.0
LEFTOVER_SECONDS = 5.0


class AlreadyRunning(LungprintError):
    """Another supervisor runs in the data folder."""


class PortInUse(LungprintError):
    """A port that the system needs belongs to another program."""


@dataclass(frozen=True)
class SystemFile:
    """What `run/system.json` says about the running system."""

    pid: int
    dicom_port: int
    web_port: int
    web_host: str
    ae_title: str
    started: str
    processes: Mapping[str, int]

    def write(self, folder: DataDir) -> None:
        """Replace the file in one step."""
        target = system_file(folder)
        temporary = target.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        temporary.replace(target)


def system_file(folder: DataDir) -> Path:
    """Where the running system is described."""
    return folder.run / "system.json"


@contextmanager
def possession(folder: DataDir) -> Iterator[None]:
    """Hold the data folder; the kernel lets go of it when the process ends, however it ends.

    Raises:
        AlreadyRunning: another supervisor holds it.
    """
    with (folder.run / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"A Lungprint system already runs in {folder.root}; stop it first, or choose another --data-dir."
            ) from None
        yield


def end_leftovers(folder: DataDir) -> list[int]:
    """Kill processes that a killed supervisor recorded and that still run; returns their process ids.

    A process is ours only if its own environment names this data folder: process ids are used again.
    """
    try:
        recorded: dict[str, Any] = json.loads(system_file(folder).read_text(encoding="utf-8"))
        pids = [int(pid) for pid in recorded["processes"].values()]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return []
    ours = [pid for pid in pids if _is_ours(pid, folder)]
    for pid in ours:
        _kill(pid)
    until = time.monotonic() + LEFTOVER_SECONDS
    while any(_is_ours(pid, folder) for pid in ours) and time.monotonic() < until:
        time.sleep(0.02)
    return ours


def chosen_port(host: str, port: int, what: str, option: str) -> int:
    """A port that can be listened on: the given one, or any free one when it is 0.

    Raises:
        PortInUse: another program listens there, or this user may not.
    """
    until = time.monotonic() + PORT_SECONDS
    while True:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        except socket.gaierror as error:
            raise ConfigurationError(f"{option} names the host {host!r}, which is not known here.") from error
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
                return int(probe.getsockname()[1])
            except OSError as error:
                if error.errno == errno.EADDRINUSE and time.monotonic() < until:
                    time.sleep(0.1)
                    continue
                raise PortInUse(_why_not(error, host, port, what, option)) from error


def _why_not(error: OSError, host: str, port: int, what: str, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} for the {what} is used by another program; end that, or choose a port with {option}."
    if error.errno == errno.EACCES:
        return f"Port {port} for the {what} needs more rights than this user has; choose one above 1023 with {option}."
    return f"The {what} cannot listen on {host}, port {port}: {error.strerror}."


def _is_ours(pid: int, folder: DataDir) -> bool:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"LUNGPRINT_DATA_DIR={folder.root}".encode() in variables and pid != os.getpid()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
