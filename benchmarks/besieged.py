"""How much of its rate an honest sender keeps while others disturb the listener.

Run it with `python -m benchmarks.besieged`. DCMTK's `dcmsend` sends the same images to a listener, under each siege in
turn and alone before and after each; a rate under siege is compared with the mean of those two. The first sending of
all does not count, and before each the disk may write what it still has. The besiegers run on the same machine, and
what they take of its processors counts against us; how much that is, is measured beside the shares of the listener and
of the senders, and of all else that runs on the machine, which is best nothing. What the kernel does for them on the
way is counted where it is done. A disk whose speed changes hides what a siege costs: `--place` names another folder, in
memory for one, where the processors alone count.
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
from scipy.stats import t

from benchmarks.ingest import Load, load_of_the_machine, make_images, make_warming, send
from benchmarks.record import Row, append_rows
from benchmarks.siege import ADDRESS, TITLE, Siege, idle, killed, slow_loris
from tests.listening import ListenerProcess

ALONE = "alone"
# Until all connections of a siege are open.
SETTLE_SECONDS = 2.0

PROCESSORS = ("besieger", "listener", "senders", "others")

Sieges = dict[str, Callable[[int], Siege]]


@dataclass(frozen=True)
class Measured:
    """What one sending took.

    Attributes:
        rate: images a second. reached: how strong the siege was, 0 without one.
        besieger, listener, senders, others: shares of all processors that each took meanwhile, 0 to 1.
    """

    rate: float
    reached: float
    besieger: float
    listener: float
    senders: float
    others: float


@dataclass(frozen=True)
class Share:
    """What share of its rate a sender keeps: the mean over all rounds and its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.0%}" + (f" ({self.low:.0%} to {self.high:.0%})" if self.low < self.high else "")


@dataclass
class Found:
    """What was measured under one siege, or under none, and what share of the rates around each was kept."""

    measured: list[Measured]
    kept: list[float]

    def median(self, value: str) -> float:
        """Of an attribute of `Measured`, over all."""
        return statistics.median(float(getattr(one, value)) for one in self.measured)

    @property
    def share(self) -> Share:
        """By Student's t distribution; without an interval after a single round."""
        mean, rounds = statistics.mean(self.kept), len(self.kept)
        if rounds < 2:
            return Share(mean, mean, mean)
        wide = float(t.ppf(0.975, rounds - 1)) * statistics.stdev(self.kept) / rounds**0.5
        return Share(mean, mean - wide, mean + wide)


Results = dict[Load, dict[str, Found]]


@dataclass(frozen=True)
class _Seconds:
    """Processor time so far: of this process, which besieges, of the listener's, of senders that have ended, of all."""

    besieger: float
    listener: float
    senders: float
    everything: float

    @classmethod
    def now(cls, listener: int) -> _Seconds:
        process = psutil.Process(listener)
        times = [one.cpu_times() for one in (process, *process.children())]
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        machine = psutil.cpu_times()
        return cls(
            time.process_time(),
            sum(one.user + one.system for one in times),
            ended.ru_utime + ended.ru_stime,
            sum(machine) - machine.idle - machine.iowait,
        )


@click.command()
@click.option("--small", default=1500, show_default=True, help="Images of 40 kB in one sending.")
@click.option("--large", default=300, show_default=True, help="Images of 8 MB in one sending.")
@click.option("--rounds", default=4, show_default=True, help="How often each siege is held.")
@click.option("--connections", default=500, show_default=True, help="Idle or slow connections open at a time.")
@click.option("--killed-per-second", default=50, show_default=True, help="Associations cut off in a second.")
@click.option("--place", help="Folder for all files; the system's own for temporary files by default.")
@click.option("--record/--no-record", default=True, show_default=True, help="Append to results/besieged.csv.")
def main(
    small: int, large: int, rounds: int, connections: int, killed_per_second: int, place: str | None, record: bool
) -> None:
    """Send the same images alone and under each siege, and compare each rate with those alone around it."""
    sieges: Sieges = {
        f"{connections} idle connections": lambda port: idle(port, connections),
        f"{connections} slow-loris connections": lambda port: slow_loris(port, connections),
        f"{killed_per_second} associations/s killed at every PDU": lambda port: killed(port, killed_per_second),
    }
    loads = [
        Load(name, side, count, 4) for name, side, count in (("40 kB", 141, small), ("8 MB", 2048, large)) if count
    ]
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="lungprint-besieged-", dir=place) as scratch, Progress() as progress:
        task = progress.add_task("measuring", total=len(loads) * (2 * rounds * len(sieges) + 2))
        for load in loads:
            warm = make_warming(Path(scratch), load.senders)
            files = make_images(Path(scratch) / f"side{load.side}", load)
            turns = _Turns(Path(scratch), load, files, warm, lambda: progress.advance(task))
            results[load] = _hold(sieges, rounds, turns)
    _show(results)
    if record:
        Console().print(
            f"appended to {append_rows('besieged', _rows(results, rounds, Path(place or tempfile.gettempdir())))}"
        )


@dataclass(frozen=True)
class _Turns:
    """What is the same each time that a load is sent."""

    scratch: Path
    load: Load
    files: list[Path]
    warm: list[Path]
    on_end: Callable[[], object]

    def measure(self, siege: Callable[[int], Siege] | None) -> Measured:
        """Send it once, under a siege or alone."""
        os.sync()
        with tempfile.TemporaryDirectory(dir=self.scratch) as own:
            found = _measured(Path(own), self.load, self.files, self.warm, siege)
        self.on_end()
        return found


def _hold(sieges: Sieges, rounds: int, turns: _Turns) -> dict[str, Found]:
    """Measure under each siege, in another order in each round, and alone before the first and after each."""
    found = {name: Found([], []) for name in (ALONE, *sieges)}
    turns.measure(None)
    alone = found[ALONE].measured
    alone.append(turns.measure(None))
    names = list(sieges)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found[name].measured.append(turns.measure(sieges[name]))
            alone.append(turns.measure(None))
            found[name].kept.append(found[name].measured[-1].rate * 2 / (alone[-2].rate + alone[-1].rate))
    return found


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
        ours = [
            (getattr(after, who) - getattr(before, who)) / processors for who in ("besieger", "listener", "senders")
        ]
        others = (after.everything - before.everything) / processors - sum(ours)
        return Measured(load.images / seconds, 0.0 if besieger is None else besieger.reached, *ours, others)
    finally:
        listener.close()


def _show(results: Results) -> None:
    table = Table(
        title="Images a second of an honest sender (median, least, most), share of its rate kept (mean, 95 %), "
        "and shares of the processors (median)"
    )
    for column in ("sent", "besieged by", "reached", "images/s", "share kept", *PROCESSORS):
        table.add_column(column)
    for load, found in results.items():
        for name, one in found.items():
            force = "" if name == ALONE else f"{one.median('reached'):.0f}"
            shares = [f"{one.median(who):.1%}" for who in PROCESSORS]
            kept = "" if name == ALONE else str(one.share)
            table.add_row(load.words, name, force, _rates(one), kept, *shares)
    Console(width=200).print(table)
    Console().print(f"load of the machine: {load_of_the_machine()}")


def _file_system(place: Path) -> str:
    mounted = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    return next(mounted[above] for above in (place.resolve(), *place.resolve().parents) if above in mounted)


def _rates(one: Found) -> str:
    rates = [measured.rate for measured in one.measured]
    return f"{statistics.median(rates):.1f} ({min(rates):.0f} to {max(rates):.0f})"


def _rows(results: Results, rounds: int, place: Path) -> list[Row]:
    rows: list[Row] = []
    for load, found in results.items():
        conditions = f"{load.words}, {rounds} rounds, on {_file_system(place)}; {load_of_the_machine()}"

        def add(measure: str, value: float, unit: str, conditions: str = conditions) -> None:
            rows.append(Row("besieged", measure, value, unit, conditions))

        for name, one in found.items():
            add(f"rate, {name}", one.median("rate"), "images/s")
            for who in PROCESSORS:
                add(f"processors of the {who}, {name}", one.median(who), "ratio")
            if name != ALONE:
                add(f"reached, {name}", one.median("reached"), "connections, or associations/s")
                add(f"share kept, {name}", one.share.mean, "ratio")
                add(f"share kept, {name}, 95 % from", one.share.low, "ratio")
                add(f"share kept, {name}, 95 % to", one.share.high, "ratio")
    return rows


if __name__ == "__main__":
    main()
