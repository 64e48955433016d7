"""Whether each process of the system does its work yet, asked from outside."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable

from config.broker import redis_url
from config.paths import DataDir
from config.settings import Settings
from workers import redis_server

WAIT_SECONDS = 1.0


def ready_file_says(folder: DataDir, name: str, pid: int) -> bool:
    """Whether a worker wrote that it consumes its queues, in this very process."""
    try:
        return int((folder.run / f"{name}.ready").read_text()) == pid
    except (OSError, ValueError):
        return False


def write_ready_file(folder: DataDir, name: str, pid: int) -> None:
    """Say that the worker consumes its queues."""
    (folder.run / f"{name}.ready").write_text(str(pid))


def checks(settings: Settings, folder: DataDir, dicom_port: int, web_port: int) -> dict[str, Callable[[int], bool]]:
    """By process name, a question to the process with the given id; beat has nobody to answer for it."""

    def worker(name: str) -> Callable[[int], bool]:
        return lambda pid: ready_file_says(folder, name, pid)

    url = redis_url(settings, folder)
    web = f"http://{_reachable(settings.web.host)}:{web_port}/healthz"
    found = {
        "redis": lambda _pid: redis_server.answers(url),
        "listener": lambda _pid: accepts(_reachable(settings.dicom.bind_host), dicom_port),
        "encode": worker("encode"),
        "match": worker("match"),
        "maintenance": worker("maintenance"),
        "dashboard": lambda _pid: responds(web),
    }
    if settings.hl7.port:
        found["hl7"] = lambda _pid: accepts(_reachable(settings.hl7.bind_host), settings.hl7.port)
    return found


def accepts(host: str, port: int) -> bool:
    """Whether something accepts TCP connections there."""
    try:
        with socket.create_connection((host, port), timeout=WAIT_SECONDS):
            return True
    except OSError:
        return False


def responds(url: str) -> bool:
    """Whether a web server answers there without an error."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=WAIT_SECONDS) as response:
            return bool(response.status < 400)
    except (urllib.error.URLError, OSError):
        return False


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
