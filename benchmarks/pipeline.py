"""From a C-STORE to a verdict: latency of one image on an idle system, sustained rate, and where the time goes.

Run it with `python -m benchmarks.pipeline`. DCMTK's `storescu` sends, so that no sender of ours is measured.
"""

from __future__ import annotations

import datetime
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
import cv2
import numpy as np
import psutil
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import func, select

from archive.database import Database, open_database
from archive.models import Instance
from archive.states import ImageState
from benchmarks.record import Row, append_rows
from config.paths import data_dir
from config.settings import load_settings
from dicom_node.sender import send
from dicom_node.wrap import PatientHeader, StudyHeader, digital_xray, twelve_bit, uid_from
from retrieval import phantom
from tests.system.running import RunningSystem

EXAMS = 4
SETTLED = (ImageState.MATCHED, ImageState.UNSUITABLE, ImageState.FAILED)


@click.command()
@click.option("--images", default=120, show_default=True, help="Images of the sustained stream.")
@click.option("--alone", default=15, show_default=True, help="Images sent one by one for the latency.")
@click.option("--size", default=2048, show_default=True, help="Side of the images in pixels; 12 bits, uncompressed.")
@click.option("--senders", default=2, show_default=True, help="Associations open at the same time.")
def main(images: int, alone: int, size: int, senders: int) -> None:
    """Measure a whole system, started as a user would, with synthetic chests."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="lungprint-bench-") as scratch:
        files = _make_images(Path(scratch) / "films", alone + images, size)
        system = RunningSystem(Path(scratch) / "system")
        system.start()
        try:
            with _opened(system) as database:
                waits = [_one_alone(system, database, file) for file in track(files[:alone], "one by one")]
                seconds, used = _stream(system, database, files[alone:], senders)
        finally:
            system.close()
    rows = [
        Row("pipeline", "latency, median", statistics.median(waits), "s", f"{size}² 12 bit, idle, n={alone}"),
        Row("pipeline", "latency, worst", max(waits), "s", f"{size}² 12 bit, idle, n={alone}"),
        Row("pipeline", "sustained", images / seconds, "images/s", f"{size}² 12 bit, {senders} senders, n={images}"),
        *(Row("pipeline", f"processor time, {name}", 1000 * s / images, "ms/image", "") for name, s in used.items()),
    ]
    table = Table("measure", "value", "unit", "conditions", box=None)
    for row in rows:
        table.add_row(row.measure, f"{row.value:.3g}", row.unit, row.conditions)
    console.print(table)
    append_rows("pipeline", rows)


def _make_images(folder: Path, count: int, size: int) -> list[Path]:
    folder.mkdir()
    chance = np.random.default_rng(5)
    persons = [phantom.random_person(chance) for _ in range(-(-count // EXAMS))]
    files = []
    for number in track(range(count), "drawing chests"):
        person = number % len(persons)
        # Drawn at 1024 and enlarged: what is measured is not the drawing.
        drawn = phantom.render(persons[person], phantom.random_exam(chance), size=min(size, 1024))
        film = np.asarray(cv2.resize(drawn, (size, size), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
        film = np.asarray(film + chance.normal(0.0, 0.004, film.shape), dtype=np.float32)
        image = digital_xray(
            twelve_bit(film),
            patient=PatientHeader(patient_id=f"BENCH{person}"),
            study=StudyHeader(
                taken=datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=number),
                instance_uid=uid_from("pipeline", number),
            ),
        )
        files.append(folder / f"{number:05d}.dcm")
        image.save_as(files[-1], enforce_file_format=True)
    return files


@contextmanager
def _opened(system: RunningSystem) -> Iterator[Database]:
    database = open_database(load_settings(system.root, environ={}), data_dir(system.root))
    try:
        yield database
    finally:
        database.close()


def _one_alone(system: RunningSystem, database: Database, file: Path) -> float:
    """Seconds from the listener's success status to the committed verdict."""
    before = _settled(database)
    (result,) = send([file], "127.0.0.1", system.dicom_port, "LUNGPRINT")
    acknowledged = time.monotonic()
    assert result.status == 0x0000, f"refused with {result.status:#06x}"
    while _settled(database) == before:
        time.sleep(0.005)
    waited = time.monotonic() - acknowledged
    time.sleep(0.3)
    return waited


def _stream(
    system: RunningSystem, database: Database, files: list[Path], senders: int
) -> tuple[float, dict[str, float]]:
    """Wall seconds from the first byte to the last verdict, and processor seconds by process."""
    before, used_before = _settled(database), _processor_seconds(system)
    begun = time.monotonic()
    with ThreadPoolExecutor(senders) as pool:
        shares = [files[i::senders] for i in range(senders)]
        list(pool.map(lambda share: _storescu(system.dicom_port, share), shares))
    while _settled(database) < before + len(files):
        time.sleep(0.02)
    seconds = time.monotonic() - begun
    used = {name: after - used_before.get(name, 0.0) for name, after in _processor_seconds(system).items()}
    return seconds, used


def _storescu(port: int, files: list[Path]) -> None:
    command = ["storescu", "-aec", "LUNGPRINT", "-xe", "-pdu", "131072", "127.0.0.1", str(port)]
    subprocess.run([*command, *map(str, files)], check=True, capture_output=True)


def _settled(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count(Instance.id)).where(Instance.state.in_(SETTLED))) or 0


def _processor_seconds(system: RunningSystem) -> dict[str, float]:
    """Processor seconds so far of each process of the system and its children."""
    found = {}
    for name, pid in system.processes().items():
        process = psutil.Process(pid)
        times = [p.cpu_times() for p in (process, *process.children(recursive=True))]
        found[name] = sum(t.user + t.system for t in times)
    return found


if __name__ == "__main__":
    main()
