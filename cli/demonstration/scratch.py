"""A whole system in a scratch folder, run as a child process for as long as the demo lasts."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive.database import Database, open_database
from archive.states import Role
from archive.users import create_user
from cli.outcome import InputNotUsable, NotRunning
from cli.system import running
from config.paths import data_dir
from config.settings import load_settings

READY_SECONDS = 120.0
STOP_SECONDS = 60.0
MARK = "scratch folder of lungprint demo"
USER = "demo"


@dataclass(frozen=True)
class Login:
    """A user of the dashboard, made for this run alone."""

    user: str
    password: str


class ScratchSystem:
    """A system on embedded defaults; `close` stops it.

    Args:
        root: the scratch folder, emptied first; refused if it holds something else.
        options: text of the system's option file.

    Raises:
        InputNotUsable: the folder is not a demo's.
    """

    def __init__(self, root: Path, options: str) -> None:
        self.root = root.resolve()
        self._empty()
        self.folder = data_dir(self.root / "data")
        self.folder.create()
        (self.folder.root / "lungprint.toml").write_text(options, encoding="utf-8")
        self.settings = load_settings(self.folder.root, environ={})
        self.database: Database = open_database(self.settings, self.folder)
        self.database.migrate()
        self.login = Login(USER, secrets.token_urlsafe(9))
        with self.database.write() as session:
            create_user(session, self.login.user, self.login.password, Role.ADMIN)
        self.log = self.root / "system.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> dict[str, Any]:
        """Start all processes and wait until they work; returns what `run/system.json` says.

        Raises:
            NotRunning: the system ended, or was not ready in time; the text holds its last words.
        """
        ports = ["--dicom-port", str(_port(self.settings.dicom.port)), "--web-port", str(_port(self.settings.web.port))]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "up", "--data-dir", str(self.folder.root), *ports],
                env={name: value for name, value in os.environ.items() if not name.startswith("LUNGPRINT_")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None:
                raise NotRunning(f"The system ended while it started:\n{self.last_words()}")
            if time.monotonic() > until:
                raise NotRunning(f"The system was not ready within {READY_SECONDS:.0f} s:\n{self.last_words()}")
            time.sleep(0.1)
        return running(self.folder) or {}

    def is_alive(self) -> bool:
        """Whether the supervisor still runs."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Return when the supervisor ends."""
        if self._process is not None:
            self._process.wait()

    def last_words(self) -> str:
        """The end of what the supervisor printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:].strip()

    def close(self) -> None:
        """Stop all processes, in order first and by force if they do not obey."""
        self.database.close()
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return any(line.startswith("ready") for line in lines)

    def _empty(self) -> None:
        mark = self.root / "README"
        if self.root.exists() and any(self.root.iterdir()):
            if not mark.is_file() or MARK not in mark.read_text(encoding="utf-8", errors="replace"):
                raise InputNotUsable(f"{self.root} is not a demo's folder; choose an empty one with --scratch.")
            if running(data_dir(self.root / "data")):
                raise InputNotUsable(f"A demo already runs in {self.root}; end it, or choose another --scratch.")
            shutil.rmtree(self.root)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.write_text(f"This is the {MARK}; it is emptied at the next run.\n", encoding="utf-8")


def _port(wanted: int) -> int:
    """The port if it is free, else 0, which lets the system choose."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
    return wanted
