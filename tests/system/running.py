"""A whole system in a data folder of its own, started as a user would and watched through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.ports import free_port

READY_SECONDS = 90.0
STOP_SECONDS = 60.0


class RunningSystem:
    """`lungprint up` as a child process; `start` may be called again after `stop` or after a kill."""

    def __init__(self, root: Path, options: dict[str, str] | None = None) -> None:
        self.root = root
        self.dicom_port = free_port()
        self.web_port = free_port()
        self.log = root.parent / f"{root.name}-up.log"
        self._options = options or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The child's environment: options of the surrounding shell do not leak in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LUNGPRINT_")}
        return kept | self._options

    def start(self) -> None:
        """Start and wait until the system says that it is ready."""
        arguments = ["up", "--dicom-port", str(self.dicom_port), "--web-port", str(self.web_port)]
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(*arguments), env=self.environ, stdout=log, stderr=log, start_new_session=True
            )
        self.wait_for(lambda: b"ready" in self.log.read_bytes()[begin:].lower(), READY_SECONDS, "readiness")

    def stop(self) -> int:
        """SIGTERM as an administrator would; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(STOP_SECONDS)
        self._process = None
        return code

    def kill(self, name: str) -> None:
        """SIGKILL one process of the system, by its name in `run/system.json`, or the supervisor itself."""
        if name == "supervisor":
            assert self._process is not None
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None
            return
        os.kill(self.processes()[name], signal.SIGKILL)

    def processes(self) -> dict[str, int]:
        """Process ids by name, as the supervisor published them."""
        found: dict[str, int] = json.loads((self.root / "run" / "system.json").read_text())["processes"]
        return found

    def command(self, *arguments: str) -> list[str]:
        """The `lungprint` command for this system."""
        return [sys.executable, "-m", "cli.main", arguments[0], "--data-dir", str(self.root), *arguments[1:]]

    def ask(self, *arguments: str) -> Any:
        """What a command prints with `--json`."""
        done = subprocess.run(
            [*self.command(*arguments), "--json"], env=self.environ, capture_output=True, check=False, timeout=120
        )
        assert done.returncode in (0, 1), done.stderr.decode()
        return json.loads(done.stdout)

    def settled(self, images: int) -> bool:
        """Whether `images` images are stored and none is still on its way."""
        states = self.ask("status")["images"]
        return sum(states.values()) >= images and states["RECEIVED"] == states["ENCODED"] == 0

    def wait_until_settled(self, images: int, seconds: float = 240.0) -> None:
        """Wait until `images` images have arrived and all have their verdict."""
        self.wait_for(lambda: self.settled(images), seconds, f"{images} settled images", pause=1.0)

    def wait_for(self, done: Callable[[], bool], seconds: float, what: str, pause: float = 0.1) -> None:
        """Wait for a condition; a time-out shows the end of the supervisor's output."""
        until = time.monotonic() + seconds
        while not done():
            if self._process is not None and self._process.poll() is not None:
                raise AssertionError(f"the system ended while waiting for {what}:\n{self._tail()}")
            if time.monotonic() > until:
                raise AssertionError(f"no {what} within {seconds:.0f} s:\n{self._tail()}")
            time.sleep(pause)

    def close(self) -> None:
        """End whatever still runs, for the end of a test."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]
