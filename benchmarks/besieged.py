"""How much of its rate an honest sender keeps while others disturb the listener.

Run it with `python -m benchmarks.besieged`. DCMTK's `dcmsend` sends the same images to a listener, alone and under each
siege in turn; a rate under siege is compared with the rate alone of the same round. The besiegers run on the same
machine, and what they take of its processors counts against us; how much that is, is measured beside the shares of the
listener and of the senders. What the kernel does for them on the way is counted where it is done.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.ingest import Load, load_of_the_machine, make_images, make_warming, send
from benchmarks.record import Row, append_rows
from benchmarks.siege import ADDRESS, TITLE, Siege, idle, killed, slow_loris
from tests.listening import ListenerProcess

ALONE = "alone"
# Until all connections of a siege are open.
SETTLE_SECONDS = 2.0

PROCESSORS = ("besieger", "listener", "senders")

Sieges = dict[str, Callable[[int], Siege]]


@dataclass(frozen=True)
class Measured:
    """What one sending took.

    Attributes:
        rate: images a second. reached: how strong the siege was, 0 without one.
        besieger, listener, senders: shares of all processors that each took meanwhile, 0 to 1.
    """

    rate: float
    reached: float
    besieger: float
    listener: float
    senders: float


Found = dict[Load, dict[str, list[Measured]]]


@dataclass(frozen=True)
class _Seconds:
    """Processor time so far: of this process, which besieges, of the listener's, and of senders that have ended."""

    besieger: float
    listener: float
    senders: float

    @classmethod
    def now(cls, listener: int) -> _Seconds:
        process = psutil.Process(listener)
        times = [one.cpu_times() for one in (process, *process.children())]
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(time.process_time(), sum(one.user + one.system for one in times), ended.ru_utime + ended.ru_stime)


@click.command()
@click.option("--images", default=200, show_default=True, help="Images of 40 kB in one round; of 8 MB, a tenth of it.")
@click.option(
    "--rounds", default=4, show_default=True, help="Rounds; in each the sender is alone and under each siege."
)
@click.option("--connections", default=500, show_default=True, help="Idle or slow connections open at a time.")
@click.option("--killed-per-second", default=50, show_default=True, help="Associations cut off in a second.")
@click.option("--place", help="Folder for all files; the system's own for temporary files by default.")
@click.option("--record/--no-record", default=True, show_default=True, help="Append to results/besieged.csv.")
def main(images: int, rounds: int, connections: int, killed_per_second: int, place: str | None, record: bool) -> None:
    """Send the same images alone and under each siege, and compare the rates of each round."""
    sieges: Sieges = {
        f"{connections} idle connections": lambda port: idle(port, connections),
        f"{connections} slow-loris connections": lambda port: slow_loris(port, connections),
        f"{killed_per_second} associations/s killed at every PDU": lambda port: killed(port, killed_per_second),
    }
    loads = [Load("40 kB", 141, images, 4), Load("8 MB", 2048, max(4, images // 10), 4)]
    found: Found = {}
    with tempfile.TemporaryDirectory(prefix="lungprint-besieged-", dir=place) as scratch, Progress() as progress:
        task = progress.add_task("measuring", total=len(loads) * rounds * (len(sieges) + 1))
        for load in loads:
            warm = make_warming(Path(scratch), load.senders)
            files = make_images(Path(scratch) / f"side{load.side}", load)
            found[load] = {name: [] for name in (ALONE, *sieges)}
            turns = list(({ALONE: None} | sieges).items())
            for number in range(rounds):
                # What comes first finds the disk with less to do: each does in turn.
                for name, siege in turns[number % len(turns) :] + turns[: number % len(turns)]:
                    with tempfile.TemporaryDirectory(dir=scratch) as own:
                        found[load][name].append(_measured(Path(own), load, files, warm, siege))
                    progress.advance(task)
    _show(found)
    if record:
        Console().print(f"appended to {append_rows('besieged', _rows(found, rounds))}")


def _measured(
    place: Path, load: Load, files: list[Path], warm: list[Path], siege: Callable[[int], Siege] | None
) -> Measured:
    """Send all images from the honest senders, each acknowledged, under siege or not."""
    peers = [{"ae_title": "DCMSEND", "address": "127.0.0.1"}, {"ae_title": TITLE, "address": ADDRESS}]
    environ = {"LUNGPRINT_DICOM_PEERS": json.dumps(peers), "LUNGPRINT_DICOM_HOST": "127.0.0.1"}
    listener = ListenerProcess(place / "data", environ).start()
    try:
        send(warm, listener.port, load.senders, load.program)
        besieger = None if siege is None else siege(listener.port)
        if besieger is not None:
            besieger.start()
            time.sleep(SETTLE_SECONDS)
        try:
            before = _Seconds.now(listener.pid)
            seconds = send(files, listener.port, load.senders, load.program)
            after = _Seconds.now(listener.pid)
        finally:
            if besieger is not None:
                besieger.end()
        processors = seconds * (os.cpu_count() or 1)
        return Measured(
            load.images / seconds,
            0.0 if besieger is None else besieger.reached,
            (after.besieger - before.besieger) / processors,
            (after.listener - before.listener) / processors,
            (after.senders - before.senders) / processors,
        )
    finally:
        listener.close()


def _kept(results: dict[str, list[Measured]], name: str) -> float:
    """Median over the rounds of the share of its rate that the sender keeps."""
    return statistics.median(now.rate / alone.rate for now, alone in zip(results[name], results[ALONE], strict=True))


def _median(results: list[Measured], value: str) -> float:
    return statistics.median(float(getattr(one, value)) for one in results)


def _show(found: Found) -> None:
    table = Table(
        title="Images a second of an honest sender, the share kept, and shares of the processors (medians by round)"
    )
    for column in ("sent", "besieged by", "reached", "images/s", "share kept", *PROCESSORS):
        table.add_column(column)
    for load, results in found.items():
        for name, measured in results.items():
            force = "" if name == ALONE else f"{_median(measured, 'reached'):.0f}"
            shares = [f"{_median(measured, who):.1%}" for who in PROCESSORS]
            rate = f"{_median(measured, 'rate'):.1f}"
            table.add_row(load.words, name, force, rate, f"{_kept(results, name):.0%}", *shares)
    Console(width=170).print(table)
    Console().print(f"load of the machine: {load_of_the_machine()}")


def _rows(found: Found, rounds: int) -> list[Row]:
    rows: list[Row] = []
    for load, results in found.items():
        conditions = f"{load.words}, {rounds} rounds; {load_of_the_machine()}"
        for name, measured in results.items():
            rows.append(Row("besieged", f"rate, {name}", _median(measured, "rate"), "images/s", conditions))
            for who in PROCESSORS:
                share = _median(measured, who)
                rows.append(Row("besieged", f"processors of the {who}, {name}", share, "ratio", conditions))
            if name != ALONE:
                reached = _median(measured, "reached")
                rows.append(Row("besieged", f"reached, {name}", reached, "connections, or associations/s", conditions))
                rows.append(Row("besieged", f"share kept, {name}", _kept(results, name), "ratio", conditions))
    return rows


if __name__ == "__main__":
    main()
