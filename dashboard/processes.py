"""The processes of the system, as its supervisor wrote them down."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from config.paths import DataDir


@dataclass(frozen=True)
class Process:
    """A process and whether it lives."""

    name: str
    pid: int
    alive: bool


def processes(folder: DataDir) -> tuple[Process, ...] | None:
    """Those of `run/system.json`; None when this machine has no supervisor, as in containers."""
    try:
        written = json.loads((folder.run / "system.json").read_text(encoding="utf-8"))
        found = dict(written["processes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return tuple(Process(str(name), int(pid), _lives(int(pid))) for name, pid in found.items())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
