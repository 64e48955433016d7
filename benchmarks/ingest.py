"""Images a second that the listener takes in, and the memory it takes, beside DCMTK's storescp and Orthanc.

Run it with `python -m benchmarks.ingest`. DCMTK's `dcmsend` sends to all of them in the same run, and `storescu` as it
comes sends small files. Ours syncs each file and commits its row before it answers; storescp never syncs, Orthanc only
its index. storescp runs as it comes and, "tuned", with a process for each association (--fork) and PDUs of 128 KiB,
for which our listener is set already. How many such files a second the disk itself takes, each synced, written in the
same folder by as many threads as there are senders and by nothing else, is measured too: "disk" in the way of our
listener, past the page cache, and "disk, cached" as usual. Senders and receivers share
the machine's cores, and what else runs on it counts: its load is recorded with the results.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.record import Row, append_rows
from dicom_node.block_file import BlockFile
from tests.listening import ListenerProcess, radiograph, save
from tests.ports import free_port

OURS = "lungprint"
REFERENCE = "storescp"
DISK, CACHED = "disk", "disk, cached"
START_SECONDS = 60.0
# Each look takes milliseconds of processor time that the receiver would have had.
LOOK_SECONDS = 0.25
# Images of their own, one from each sender, sent first: what each process does once is not measured.
WARMING = 999_999


@dataclass(frozen=True)
class Load:
    """What is sent at a time: so many images of this side (16 bits a sample), over so many associations."""

    name: str
    side: int
    images: int
    senders: int
    program: str = "dcmsend"

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.images} images of {self.name}, {self.senders} {self.program}"


@dataclass
class Found:
    """What one receiver did with one load: images a second in each round, and the most memory it held, in MiB."""

    rates: list[float]
    memory: float = 0.0


class MemoryWatch(threading.Thread):
    """Looks at the memory of a process and its children, what they share counted once, until it is stopped."""

    def __init__(self, pid: int, pause_seconds: float = LOOK_SECONDS) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._pause_seconds = pause_seconds
        self._ended = threading.Event()
        self.peak = 0.0

    def run(self) -> None:
        """Keep the largest value, in MiB."""
        while not self._ended.wait(self._pause_seconds):
            self.peak = max(self.peak, sum(map(_held, (self._process, *self._process.children()))) / (1 << 20))

    def stop(self) -> float:
        """The largest value seen."""
        self._ended.set()
        self.join()
        return self.peak


def _held(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0


@click.command()
@click.option("--large", default=120, show_default=True, help="Images of 8 MB in one round.")
@click.option("--small", default=200, show_default=True, help="Images of 40 kB in one round.")
@click.option("--rounds", default=3, show_default=True, help="Rounds; each begins with another receiver.")
@click.option("--place", help="Folder for all files; the system's own for temporary files by default.")
@click.option("--record/--no-record", default=True, show_default=True, help="Append to results/ingest.csv.")
def main(large: int, small: int, rounds: int, place: str | None, record: bool) -> None:
    """Send the same images to each receiver in turn and compare the rates of each round."""
    loads = [
        Load(name, side, count, senders)
        for name, side, count in (("8 MB", 2048, large), ("40 kB", 141, small))
        for senders in (1, 4)
        if count
    ]
    loads += [Load("40 kB", 141, small, 1, "storescu")] if small else []
    with tempfile.TemporaryDirectory(prefix="lungprint-ingest-", dir=place) as scratch, Progress() as progress:
        task = progress.add_task("measuring", total=len(loads) * rounds * len(RECEIVERS))
        results = {}
        for load in loads:
            warm = make_warming(Path(scratch), load.senders)
            files = make_images(Path(scratch) / f"side{load.side}", load)
            found = {name: Found([]) for name in (*RECEIVERS, DISK, CACHED)}
            for number in range(rounds):
                for name, write in ((DISK, _write_past_cache), (CACHED, _write_cached)):
                    found[name].rates.append(load.images / _write_durably(files, Path(scratch), load.senders, write))
                for name in _beginning_with(number, list(RECEIVERS)):
                    # What the one before left to be written is not this one's.
                    os.sync()
                    with tempfile.TemporaryDirectory(dir=scratch) as own, RECEIVERS[name](Path(own)) as (port, pid):
                        send(warm, port, load.senders, load.program)
                        _read_once(files)
                        watch = MemoryWatch(pid)
                        watch.start()
                        found[name].rates.append(load.images / send(files, port, load.senders, load.program))
                        found[name].memory = max(found[name].memory, watch.stop())
                    progress.advance(task)
            results[load] = found
    _show(results)
    if record:
        Console().print(f"appended to {append_rows('ingest', _rows(results))}")


def _beginning_with(number: int, names: list[str]) -> list[str]:
    number %= len(names)
    return names[number:] + names[:number]


def make_images(folder: Path, load: Load) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:04}.dcm" for number in range(load.images)]
    return [path if path.exists() else save(radiograph(n, side=load.side), path) for n, path in enumerate(paths)]


def _read_once(files: list[Path]) -> None:
    """Have the files in memory for each receiver alike: what the senders read from a disk is not measured."""
    for path in files:
        path.read_bytes()


def send(files: list[Path], port: int, senders: int, program: str) -> float:
    """Seconds until every image is acknowledged."""
    options = ["-dn"] if program == "dcmsend" else []
    command = [dcmtk(program), *options, "-aec", "LUNGPRINT", "127.0.0.1", str(port)]
    begin = time.perf_counter()
    running = [subprocess.Popen([*command, *map(str, files[number::senders])]) for number in range(senders)]
    codes = [process.wait() for process in running]
    seconds = time.perf_counter() - begin
    if any(codes):
        raise click.ClickException(f"{program} ended with {codes}: not every image was acknowledged.")
    return seconds


def make_warming(folder: Path, count: int) -> list[Path]:
    """So many images that are none of those that are measured."""
    return [save(radiograph(WARMING + number, side=64), folder / f"warm{number}.dcm") for number in range(count)]


def _write_durably(files: list[Path], scratch: Path, writers: int, write: Callable[[Path, bytes], None]) -> float:
    """Seconds to write as many files as these, as large as the first, and to sync each."""
    content = files[0].read_bytes()
    with tempfile.TemporaryDirectory(dir=scratch) as place, ThreadPoolExecutor(writers) as pool:
        begin = time.perf_counter()
        list(pool.map(lambda _: write(Path(place), content), files))
        return time.perf_counter() - begin


def _write_past_cache(folder: Path, content: bytes) -> None:
    file = BlockFile(folder, ".dcm")
    file.append([memoryview(content)])
    file.finish()
    with file.path.open("rb") as written:
        os.fsync(written.fileno())
    file.close()


def _write_cached(folder: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=folder, delete=False, buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())


@contextmanager
def _lungprint(place: Path) -> Iterator[tuple[int, int]]:
    listener = ListenerProcess(place / "data").start()
    try:
        yield listener.port, listener.pid
    finally:
        listener.close()


@contextmanager
def _storescp(place: Path, *options: str) -> Iterator[tuple[int, int]]:
    """As it is when nothing is said about it: one association after the other, PDUs of 16 KiB."""
    port = free_port()
    with _program([dcmtk("storescp"), "--quiet", *options, "--output-directory", str(place), str(port)], port) as pid:
        yield port, pid


@contextmanager
def _storescp_tuned(place: Path) -> Iterator[tuple[int, int]]:
    """A process for each association and the largest PDU."""
    with _storescp(place, "--fork", "--max-pdu", "131072") as found:
        yield found


@contextmanager
def _orthanc(place: Path) -> Iterator[tuple[int, int]]:
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
    with _program(["Orthanc", str(place / "orthanc.json")], port) as pid:
        yield port, pid


@contextmanager
def _program(command: list[str], port: int) -> Iterator[int]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + START_SECONDS
            echo = [dcmtk("echoscu"), "-aec", "LUNGPRINT", "127.0.0.1", str(port)]
            while subprocess.run(echo, capture_output=True, check=False).returncode:
                if process.poll() is not None or time.monotonic() > until:
                    raise click.ClickException(f"{command[0]} does not start.")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()


@cache
def dcmtk(program: str) -> str:
    """DCMTK's program of this name; pynetdicom installs others of the same names beside Python."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in dict.fromkeys(folders):
        path = shutil.which(program, path=folder)
        if path and b"dcmtk" in subprocess.run([path, "--version"], capture_output=True, check=False).stdout:
            return path
    raise click.ClickException(f"DCMTK's {program} is not installed.")


def _ratio(found: dict[str, Found], name: str, reference: str) -> float:
    """Median over the rounds of how many times faster `name` is; the machine may be slower in one round."""
    pairs = zip(found[name].rates, found[reference].rates, strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


def _show(results: dict[Load, dict[str, Found]]) -> None:
    title = "Images a second (median; most memory), and how many times faster than each peer we are (median by round)"
    table = Table(title=title)
    others = [*(name for name in RECEIVERS if name != OURS), DISK, CACHED]
    for column in ("sent", OURS, *others, *(f"/ {name}" for name in others)):
        table.add_column(column, justify="right")
    for load, found in results.items():
        values = [_in_words(found[name]) for name in (OURS, *others)]
        ratios = [f"{_ratio(found, OURS, name):.2f}x" for name in others]
        table.add_row(load.words, *values, *ratios)
    Console(width=170).print(table)
    Console().print(f"load of the machine: {load_of_the_machine()}")


def _in_words(found: Found) -> str:
    held = f" ({found.memory:.0f} MiB)" if found.memory else ""
    return f"{statistics.median(found.rates):.1f}{held}"


def load_of_the_machine() -> str:
    return f"{os.getloadavg()[2]:.1f} processes wanting {os.cpu_count()} cores, over 15 minutes"


def _rows(results: dict[Load, dict[str, Found]]) -> list[Row]:
    rows = []
    for load, found in results.items():
        conditions = f"{load.words}, {len(found[OURS].rates)} rounds; {load_of_the_machine()}"
        for name, one in found.items():
            rows.append(Row("ingest", f"{name} rate", statistics.median(one.rates), "images/s", conditions))
            if one.memory:
                rows.append(Row("ingest", f"{name} memory", one.memory, "MiB", conditions))
            if name != OURS:
                rows.append(Row("ingest", f"{OURS} / {name}", _ratio(found, OURS, name), "ratio", conditions))
    return rows


RECEIVERS = {OURS: _lungprint, REFERENCE: _storescp, f"{REFERENCE} tuned": _storescp_tuned}
if shutil.which("Orthanc"):
    RECEIVERS["Orthanc"] = _orthanc


if __name__ == "__main__":
    main()
