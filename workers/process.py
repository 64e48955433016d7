"""One child process of the supervisor: started so that it dies with its parent, its output kept in a log file."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG_BYTES = 10 * 1024 * 1024
LOGS_KEPT = 3
# A process that ran this long has recovered: the next restart is immediate again.
STEADY_SECONDS = 60.0
LONGEST_PAUSE = 30.0

_PR_SET_PDEATHSIG = 1
# Looked up before any fork: nothing may be loaded between fork and exec.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill the calling process when the thread that started it ends; Linux alone can do that.

    Args:
        parent: the process id that the parent had before the fork, to notice a parent that is already gone.
    """
    if _prctl is None:
        return
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


@dataclass(frozen=True)
class Command:
    """What to run: a name for logs and people, the arguments and the whole environment."""

    name: str
    arguments: Sequence[str]
    environ: Mapping[str, str]


class Child:
    """A process that is started again when it ends; the pause before that grows while it keeps failing."""

    def __init__(self, command: Command, log: Path) -> None:
        self.command = command
        self.log = log
        self.restarts = 0
        self.started = 0.0
        self.due: float | None = None
        self._failures = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def start(self) -> None:
        """Start the process in a session of its own, so that Ctrl-C reaches the supervisor alone."""
        self.rotate_log()
        parent = os.getpid()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(self.command.arguments),
                env=dict(self.command.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),
            )
        self.started = time.monotonic()
        self.due = None

    def ended(self) -> int | None:
        """The exit code once the process has ended, else None."""
        return self._process.poll() if self._process is not None else None

    def plan_restart(self) -> float:
        """Decide when to start again, after the process has ended; returns the pause in seconds."""
        if time.monotonic() - self.started > STEADY_SECONDS:
            self._failures = 0
        pause = 0.0 if self._failures == 0 else min(0.5 * 2.0 ** (self._failures - 1), LONGEST_PAUSE)
        self._failures += 1
        self.restarts += 1
        self._process = None
        self.due = time.monotonic() + pause
        return pause

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process if it still runs."""
        if self.ended() is None and self._process is not None:
            self._process.send_signal(number)

    def kill_group(self) -> None:
        """Kill the process and whatever it started in its session."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._process.wait()

    def rotate_log(self) -> None:
        """Keep the log small: copy it aside and empty it in place, as its writer holds it open for appending."""
        if not self.log.exists() or self.log.stat().st_size < LOG_BYTES:
            return
        for number in range(LOGS_KEPT - 1, 0, -1):
            older = self.log.with_suffix(f".log.{number}")
            if older.exists():
                older.replace(self.log.with_suffix(f".log.{number + 1}"))
        shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
        os.truncate(self.log, 0)
