"""Images a second that the listener takes in, beside DCMTK's storescp and Orthanc in the same run.

Run it with `python -m benchmarks.ingest`. DCMTK's `dcmsend` sends to all of them. Ours syncs each file and commits its
row before it answers; storescp never syncs, Orthanc only its index. storescp runs as it comes and, "tuned", with a
process for each association (--fork) and PDUs of 128 KiB, for which our listener is set already.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.record import Row, append_rows
from tests.listening import ListenerProcess, radiograph, save
from tests.system.running import free_port

OURS = "lungprint"
REFERENCE = "storescp"
START_SECONDS = 60.0
# An image of its own, sent first: what each program does once is not measured.
WARMING = 999_999


@dataclass(frozen=True)
class Load:
    """What is sent at a time: so many images of this side (16 bits a sample), over so many associations."""

    name: str
    side: int
    images: int
    senders: int


@click.command()
@click.option("--large", default=60, show_default=True, help="Images of 8 MB in one round.")
@click.option("--small", default=200, show_default=True, help="Images of 40 kB in one round.")
@click.option("--rounds", default=3, show_default=True, help="Rounds; the receivers take turns in each.")
@click.option("--record/--no-record", default=True, show_default=True, help="Append to results/ingest.csv.")
def main(large: int, small: int, rounds: int, record: bool) -> None:
    """Send the same images to each receiver in turn and compare the rates of each round."""
    loads = [
        Load(name, side, count, senders)
        for name, side, count in (("8 MB", 2048, large), ("40 kB", 141, small))
        for senders in (1, 4)
        if count
    ]
    with tempfile.TemporaryDirectory(prefix="lungprint-ingest-") as scratch, Progress() as progress:
        task = progress.add_task("measuring", total=len(loads) * rounds * len(RECEIVERS))
        results = {}
        warm = save(radiograph(WARMING, side=64), Path(scratch) / "warm.dcm")
        for load in loads:
            files = _make_images(Path(scratch) / f"side{load.side}", load)
            rates: dict[str, list[float]] = {name: [] for name in RECEIVERS}
            for _ in range(rounds):
                for name, receiver in RECEIVERS.items():
                    with tempfile.TemporaryDirectory(dir=scratch) as place, receiver(Path(place)) as port:
                        _send([warm], port, 1)
                        rates[name].append(load.images / _send(files, port, load.senders))
                    progress.advance(task)
            results[load] = rates
    _show(results)
    if record:
        Console().print(f"appended to {append_rows('ingest', _rows(results))}")


def _make_images(folder: Path, load: Load) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:04}.dcm" for number in range(load.images)]
    return [path if path.exists() else save(radiograph(n, side=load.side), path) for n, path in enumerate(paths)]


def _send(files: list[Path], port: int, senders: int) -> float:
    """Seconds until every image is acknowledged."""
    command = ["dcmsend", "-dn", "-aec", "LUNGPRINT", "127.0.0.1", str(port)]
    begin = time.perf_counter()
    running = [subprocess.Popen([*command, *map(str, files[number::senders])]) for number in range(senders)]
    codes = [process.wait() for process in running]
    seconds = time.perf_counter() - begin
    if any(codes):
        raise click.ClickException(f"dcmsend ended with {codes}: not every image was acknowledged.")
    return seconds


@contextmanager
def _lungprint(place: Path) -> Iterator[int]:
    listener = ListenerProcess(place / "data").start()
    try:
        yield listener.port
    finally:
        listener.close()


@contextmanager
def _storescp(place: Path, *options: str) -> Iterator[int]:
    """As it is when nothing is said about it: one association after the other, PDUs of 16 KiB."""
    port = free_port()
    with _program(["storescp", "--quiet", *options, "--output-directory", str(place), str(port)], port):
        yield port


@contextmanager
def _storescp_tuned(place: Path) -> Iterator[int]:
    """A process for each association and the largest PDU."""
    with _storescp(place, "--fork", "--max-pdu", "131072") as port:
        yield port


@contextmanager
def _orthanc(place: Path) -> Iterator[int]:
    port = free_port()
    options = {
        "StorageDirectory": str(place / "storage"),
        "IndexDirectory": str(place / "storage"),
        "DicomPort": port,
        "DicomAet": "LUNGPRINT",
        "HttpServerEnabled": False,
        "Plugins": [],
    }
    (place / "orthanc.json").write_text(json.dumps(options))
    with _program(["Orthanc", str(place / "orthanc.json")], port):
        yield port


@contextmanager
def _program(command: list[str], port: int) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + START_SECONDS
            echo = ["echoscu", "-aec", "LUNGPRINT", "127.0.0.1", str(port)]
            while subprocess.run(echo, capture_output=True, check=False).returncode:
                if process.poll() is not None or time.monotonic() > until:
                    raise click.ClickException(f"{command[0]} does not start.")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def _ratio(rates: dict[str, list[float]], name: str, reference: str) -> float:
    """Median over the rounds of how many times faster `name` is; the machine may be slower in one round."""
    return statistics.median(ours / theirs for ours, theirs in zip(rates[name], rates[reference], strict=True))


def _show(results: dict[Load, dict[str, list[float]]]) -> None:
    table = Table(title="Images a second (median), and how many times faster than each peer we are (median by round)")
    for column in ("images", "senders", *RECEIVERS, *(f"/ {name}" for name in RECEIVERS if name != OURS)):
        table.add_column(column, justify="right")
    for load, rates in results.items():
        values = [f"{statistics.median(rates[name]):.1f}" for name in RECEIVERS]
        ratios = [f"{_ratio(rates, OURS, name):.2f}x" for name in RECEIVERS if name != OURS]
        table.add_row(load.name, str(load.senders), *values, *ratios)
    Console(width=140).print(table)


def _rows(results: dict[Load, dict[str, list[float]]]) -> list[Row]:
    rows = []
    for load, rates in results.items():
        conditions = f"{load.images} images of {load.name}, {load.senders} senders, {len(rates[OURS])} rounds"
        for name in RECEIVERS:
            rows.append(Row("ingest", f"{name} rate", statistics.median(rates[name]), "images/s", conditions))
            if name != OURS:
                rows.append(Row("ingest", f"{OURS} / {name}", _ratio(rates, OURS, name), "ratio", conditions))
    return rows


RECEIVERS = {OURS: _lungprint, REFERENCE: _storescp, f"{REFERENCE} tuned": _storescp_tuned}
if shutil.which("Orthanc"):
    RECEIVERS["Orthanc"] = _orthanc


if __name__ == "__main__":
    main()
