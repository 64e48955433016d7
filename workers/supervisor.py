"""Runs all processes of one system: starts them, restarts what dies, stops them in order, and says how they are."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import Any, Protocol

from config.broker import redis_url
from config.errors import LungprintError
from config.paths import DataDir
from config.settings import Settings
from workers import process, redis_server
from workers.possession import SystemFile, system_file
from workers.process import Child
from workers.processes import commands
from workers.readiness import checks

logger = logging.getLogger(__name__)

REDIS_SECONDS = 30.0
# Redis loads its file in moments; one that ends this early twice running cannot use the file.
REDIS_EARLY_SECONDS = 10.0
STARTING_PAUSE = 0.1
STEADY_PAUSE = 10.0
# First who takes work in, then who does it, then who keeps it: the group is warned, waited for, then killed.
STOP_ORDER = (("listener", "hl7", "beat", "dashboard"), ("encode", "match", "maintenance"), ("redis",))
STOP_SECONDS = 15.0


class StartFailed(LungprintError):
    """A process that all others need does not start."""


class Watcher(Protocol):
    """Someone who is told what happens, for example the terminal."""

    def started(self, name: str, pid: int) -> None:
        """A process was started."""

    def ready(self, name: str) -> None:
        """A process does its work."""

    def died(self, name: str, how: str, pause: float) -> None:
        """A process ended by itself and is started again after a pause in seconds."""

    def all_ready(self) -> None:
        """Every process does its work."""

    def stopping(self) -> None:
        """The system is being stopped."""


class Supervisor:
    """The processes of one system; the data folder is in the caller's possession.

    Example:
        Supervisor(settings, folder, 11112, 8080, watcher).run()
    """

    def __init__(
        self,
        settings: Settings,
        folder: DataDir,
        dicom_port: int,
        web_port: int,
        watcher: Watcher,
        flags: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._ports = (dicom_port, web_port)
        self._watcher = watcher
        self._since = datetime.now(UTC)
        self._children = {
            name: Child(command, folder.logs / f"{name}.log")
            for name, command in commands(settings, folder, flags).items()
        }
        self._checks = checks(settings, folder, dicom_port, web_port)
        self._waiting: set[str] = set()
        self._early_ends_of_redis = 0
        self._announced = False
        self._stopping = False

    def run(self) -> None:
        """Start everything, keep it running until SIGTERM or SIGINT arrives, then stop it in order.

        Raises:
            StartFailed: Redis does not answer.
        """
        with _log_file(self._folder), _signals(self._stop) as woken:
            try:
                self._start_redis()
                for name in self._children:
                    if name != "redis" and not self._stopping:
                        self._start(name)
                while not self._stopping:
                    self._look()
                    woken(self._pause())
            finally:
                self._stop_all()

    def _start_redis(self) -> None:
        url = redis_url(self._settings, self._folder)
        if "redis" in self._children:
            self._start("redis")
        until = time.monotonic() + REDIS_SECONDS
        while not redis_server.answers(url) and not self._stopping:
            self._restart_dead()
            if time.monotonic() > until:
                where = f"see {self._folder.logs / 'redis.log'}" if "redis" in self._children else "check redis.url"
                raise StartFailed(f"The queue's Redis server does not answer; {where}.")
            time.sleep(0.02)

    def _start(self, name: str) -> None:
        child = self._children[name]
        if name == "redis":
            redis_server.repair(self._folder)
        child.start()
        self._waiting.add(name)
        with _survived("run/system.json is not written"):
            self._write_system_file()
        assert child.pid is not None
        logger.info("%s started as process %d", name, child.pid)
        self._watcher.started(name, child.pid)

    def _look(self) -> None:
        self._restart_dead()
        for name in sorted(self._waiting):
            pid = self._children[name].pid
            if pid is not None and (name not in self._checks or self._checks[name](pid)):
                self._waiting.discard(name)
                self._watcher.ready(name)
        if not self._waiting and not self._announced:
            self._announced = True
            logger.info("ready after %.1f s", (datetime.now(UTC) - self._since).total_seconds())
            self._watcher.all_ready()
        for child in self._children.values():
            with _survived(f"the log of {child.command.name} is not rotated"):
                child.rotate_log()

    def _restart_dead(self) -> None:
        for name, child in self._children.items():
            code = child.ended()
            if code is not None:
                how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                self._waiting.add(name)
                if name == "redis":
                    self._suspect_redis_file(child)
                pause = child.plan_restart()
                logger.warning("%s ended with %s; it is started again in %.1f s", name, how, pause)
                self._watcher.died(name, how, pause)
            if child.due is not None and time.monotonic() >= child.due:
                try:
                    self._start(name)
                except (OSError, subprocess.SubprocessError) as error:
                    pause = child.plan_restart()
                    logger.error("%s cannot be started (%s); again in %.1f s", name, type(error).__name__, pause)

    def _suspect_redis_file(self, child: Child) -> None:
        early = time.monotonic() - child.started < REDIS_EARLY_SECONDS
        self._early_ends_of_redis = self._early_ends_of_redis + 1 if early else 0
        if self._early_ends_of_redis >= 2:
            redis_server.put_aside(self._folder)

    def _pause(self) -> float:
        pause = STARTING_PAUSE if self._waiting else STEADY_PAUSE
        dues = [child.due - time.monotonic() for child in self._children.values() if child.due is not None]
        return max(0.0, min([pause, *dues]))

    def _stop(self) -> None:
        self._stopping = True

    def _stop_all(self) -> None:
        self._watcher.stopping()
        for group in STOP_ORDER:
            children = [self._children[name] for name in group if name in self._children]
            for child in children:
                child.signal(signal.SIGTERM)
            until = time.monotonic() + STOP_SECONDS
            while any(child.pid and child.ended() is None for child in children) and time.monotonic() < until:
                time.sleep(0.02)
            for child in children:
                if child.pid and child.ended() is None:
                    logger.warning("%s did not stop within %.0f s and is killed", child.command.name, STOP_SECONDS)
                    child.kill_group()
        system_file(self._folder).unlink(missing_ok=True)
        logger.info("stopped")

    def _write_system_file(self) -> None:
        SystemFile(
            pid=os.getpid(),
            dicom_port=self._ports[0],
            web_port=self._ports[1],
            web_host=self._settings.web.host,
            ae_title=self._settings.dicom.ae_title,
            started=self._since.isoformat(),
            processes={name: child.pid for name, child in self._children.items() if child.pid is not None},
        ).write(self._folder)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[Callable[[float], None]]:
    """Gives a function that sleeps until a time-out or a signal; SIGTERM and SIGINT call `stop`."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    handlers = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: stop()),
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: stop()),
        # Only there so that the death of a child wakes the sleeper.
        signal.SIGCHLD: signal.signal(signal.SIGCHLD, lambda *_: None),
    }
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def sleep(seconds: float) -> None:
        if select.select([reading], [], [], seconds)[0]:
            os.read(reading, 4096)

    try:
        yield sleep
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


@contextmanager
def _survived(what: str) -> Iterator[None]:
    """Log a fault of the machine, a full disk for example, instead of ending the system for it."""
    try:
        yield
    except OSError as error:
        logger.error("%s: %s", what, type(error).__name__)


@contextmanager
def _log_file(folder: DataDir) -> Iterator[None]:
    handler = RotatingFileHandler(
        folder.logs / "supervisor.log", maxBytes=process.LOG_BYTES, backupCount=process.LOGS_KEPT
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    package = logging.getLogger("workers")
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)
        handler.close()
