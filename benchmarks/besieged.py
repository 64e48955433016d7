"""How much of its rate an honest sender keeps while others disturb the listener.

Run it with `python -m benchmarks.besieged`. DCMTK's `dcmsend` sends the same images to a listener, alone and under each
siege in turn; a rate under siege is compared with the rate alone of the same round. The besiegers run on the same
machine, and what they take of its processors counts against us.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
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

Sieges = dict[str, Callable[[int], Siege]]


@click.command()
@click.option("--images", default=200, show_default=True, help="Images of 40 kB in one round; of 8 MB, a tenth of it.")
@click.option("--rounds", default=5, show_default=True, help="Rounds; in each the sender is alone once, then besieged.")
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
    rates: dict[Load, dict[str, list[float]]] = {}
    reached: dict[str, list[float]] = {name: [] for name in sieges}
    with tempfile.TemporaryDirectory(prefix="lungprint-besieged-", dir=place) as scratch, Progress() as progress:
        task = progress.add_task("measuring", total=len(loads) * rounds * (len(sieges) + 1))
        for load in loads:
            warm = make_warming(Path(scratch), load.senders)
            files = make_images(Path(scratch) / f"side{load.side}", load)
            rates[load] = {name: [] for name in (ALONE, *sieges)}
            for _ in range(rounds):
                for name, siege in ({ALONE: None} | sieges).items():
                    with tempfile.TemporaryDirectory(dir=scratch) as own:
                        seconds, force = _measured(Path(own), load, files, warm, siege)
                    rates[load][name].append(load.images / seconds)
                    if name in reached:
                        reached[name].append(force)
                    progress.advance(task)
    _show(rates, reached)
    if record:
        Console().print(f"appended to {append_rows('besieged', _rows(rates, reached, rounds))}")


def _measured(
    place: Path, load: Load, files: list[Path], warm: list[Path], siege: Callable[[int], Siege] | None
) -> tuple[float, float]:
    """How long the honest senders need for all images, each acknowledged, and how strong the siege was."""
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
            seconds = send(files, listener.port, load.senders, load.program)
        finally:
            if besieger is not None:
                besieger.end()
        return seconds, 0.0 if besieger is None else besieger.reached
    finally:
        listener.close()


def _kept(rates: dict[str, list[float]], name: str) -> float:
    """Median over the rounds of the share of its rate that the sender keeps."""
    return statistics.median(now / alone for now, alone in zip(rates[name], rates[ALONE], strict=True))


def _show(rates: dict[Load, dict[str, list[float]]], reached: dict[str, list[float]]) -> None:
    table = Table(title="Images a second of an honest sender (median), and the share kept (median by round)")
    for column in ("sent", "besieged by", "reached", "images/s", "share kept"):
        table.add_column(column)
    for load, found in rates.items():
        for name, values in found.items():
            force = f"{statistics.median(reached[name]):.0f}" if name in reached else ""
            table.add_row(load.words, name, force, f"{statistics.median(values):.1f}", f"{_kept(found, name):.0%}")
    Console(width=150).print(table)
    Console().print(f"load of the machine: {load_of_the_machine()}")


def _rows(rates: dict[Load, dict[str, list[float]]], reached: dict[str, list[float]], rounds: int) -> list[Row]:
    rows = [
        Row("besieged", f"reached, {name}", statistics.median(values), "connections, or associations/s", "all rounds")
        for name, values in reached.items()
    ]
    for load, found in rates.items():
        conditions = f"{load.words}, {rounds} rounds; {load_of_the_machine()}"
        for name, values in found.items():
            rows.append(Row("besieged", f"rate, {name}", statistics.median(values), "images/s", conditions))
            if name != ALONE:
                rows.append(Row("besieged", f"share kept, {name}", _kept(found, name), "ratio", conditions))
    return rows


if __name__ == "__main__":
    main()
