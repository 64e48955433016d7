"""Where measurements are kept: one CSV a benchmark, each row with machine, date and versions."""

from __future__ import annotations

import csv
import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

COLUMNS = ("date", "machine", "versions", "benchmark", "measure", "value", "unit", "conditions")
VERSIONS_OF = ("torch", "pynetdicom", "pydicom", "celery", "hnswlib")


@dataclass(frozen=True)
class Row:
    """One measured value."""

    benchmark: str
    measure: str
    value: float
    unit: str
    conditions: str


def append_rows(name: str, rows: Sequence[Row]) -> Path:
    """Add rows to `results/<name>.csv`, with today's date, this machine and the versions that ran."""
    path = Path(__file__).parent / "results" / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(COLUMNS)
        for row in rows:
            value = f"{row.value:.4g}"
            writer.writerow(
                [_today(), machine(), versions(), row.benchmark, row.measure, value, row.unit, row.conditions]
            )
    return path


def machine() -> str:
    """This machine in words: processor and cores."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = named[0] if named else model
    return f"{model}, {os.cpu_count()} cores"


def versions() -> str:
    """Python and the packages whose speed matters."""
    packages = [f"{package} {metadata.version(package)}" for package in VERSIONS_OF]
    return "; ".join([f"Python {platform.python_version()}", *packages])


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()
