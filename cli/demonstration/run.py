"""Sends a planned stream through a real association and waits until each image has its verdict."""

from __future__ import annotations

import datetime
import multiprocessing
import random
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from sqlalchemy import func, select

from archive.budget import LENT
from archive.models import Instance
from archive.states import ImageState
from cli.demonstration.desk import plant
from cli.demonstration.filing import Record, instance_uid, records, write
from cli.demonstration.scratch import ScratchSystem
from cli.demonstration.stream import Film, Planted, Shot
from cli.outcome import NotRunning
from dicom_node.sender import SendResult, send

CALLING_AE = "DEMO_MODALITY"
HOURS_APART = 6
ARTISTS = 2
# Places on the alert list for each error that was planted.
PLACES = 1.5
# Films drawn ahead of the sender; each is a file of two megabytes.
AHEAD = 16
PAUSE = 0.2
# Without any image moving for so long, the system is stuck.
STUCK_SECONDS = 90.0
SETTLED = (ImageState.MATCHED, ImageState.UNSUITABLE, ImageState.FAILED)


@dataclass(frozen=True)
class Delivery:
    """A planned stream with the headers of its labels; `taken`: when each shot was, as its header says."""

    shots: Sequence[Shot[Any]]
    records: dict[str, Record]
    taken: Sequence[datetime.datetime]
    seed: int

    def write(self, number: int, folder: Path) -> Path:
        """Write a shot as a DICOM file, see `cli.demonstration.filing.write`."""
        shot = self.shots[number]
        return write(shot, self.records[shot.label], self.taken[number], self.seed, folder)

    def sent(self) -> Iterator[tuple[Shot[Any], str, str]]:
        """Each shot with its SOP Instance UID and the Patient ID in its header."""
        for shot in self.shots:
            yield shot, instance_uid(self.seed, shot.number), self.records[shot.label].patient.patient_id


def planned(films: Sequence[Film[Any]], seed: int) -> Delivery:
    """Plant the errors and invent the records."""
    shots = list(plant(films, random.Random(seed)))
    today = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)
    started = today - datetime.timedelta(hours=HOURS_APART * len(shots))
    taken = [started + datetime.timedelta(hours=HOURS_APART * shot.number) for shot in shots]
    return Delivery(shots, records(shots, seed, today.date()), taken, seed)


def options_for(delivery: Delivery) -> tuple[str, str]:
    """The option file of the demo's system, and a sentence that says how it differs from a hospital's.

    In the demo errors are a thousand times as frequent as in a hospital; the verdict is told so, and the alert list
    gets so many more places.
    """
    kinds = [shot.planted for shot in delivery.shots]
    swapped = max(kinds.count(Planted.WRONG_PATIENT), 1)
    rate = swapped / len(kinds)
    places = PLACES * (swapped + kinds.count(Planted.DUPLICATE_RECORD))
    budget = 1000 * places / max(len(kinds), LENT)
    text = (
        "# Written by lungprint demo: here errors are far more frequent than in a hospital.\n"
        "[verdict]\n"
        f"base_rate = {rate:.4f}\n"
        "owner_in_gallery = 0.95\n"
        f"alerts_per_1000 = {budget:.1f}\n"
    )
    why = (
        f"The demo misfiles {rate:.1%} of its images (a hospital: far fewer; verdict.base_rate is 0.05 % by default), "
        "so its own option file says so, and its alert list has three places for every two errors "
        f"(verdict.alerts_per_1000 {budget:.0f})."
    )
    return text, why


def deliver(delivery: Delivery, system: ScratchSystem, now: dict[str, Any], out: Console) -> None:
    """Draw or read the films, send them in order of time, and wait for every verdict.

    Args:
        now: the running system, as `run/system.json` describes it.

    Raises:
        PeerRefused: the listener takes no association.
        NotRunning: the system ended or got stuck on the way.
    """
    folder = system.root / "sent"
    folder.mkdir()
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out) as bar:
        watch = _Watch(system, bar, len(delivery.shots))

        def sent(result: SendResult) -> None:
            (folder / f"{watch.sent:05d}.dcm").unlink()
            watch.one_sent(result)

        send(_films(delivery, folder), "127.0.0.1", now["dicom_port"], now["ae_title"], CALLING_AE, sent)
        watch.until_settled()


class _Watch:
    """Two progress bars: images acknowledged, and images that have their verdict."""

    def __init__(self, system: ScratchSystem, bar: Progress, images: int) -> None:
        self._system = system
        self._bar = bar
        self._sent: TaskID = bar.add_task("acknowledged", total=images)
        self._settled: TaskID = bar.add_task("judged", total=images)
        self.sent = 0
        self.stored = 0

    def one_sent(self, result: SendResult) -> None:
        """Count one image, stored or not."""
        self.sent += 1
        if result.stored:
            self.stored += 1
            self._bar.advance(self._sent)
        else:
            why = result.problem or f"status 0x{result.status:04X}"
            self._bar.console.print(f"image {self.sent} was not taken: {why}", markup=False)
        self._look()

    def until_settled(self) -> None:
        """Wait for the verdict of every image that was acknowledged."""
        settled, moved = self._look(), time.monotonic()
        while settled < self.stored:
            time.sleep(PAUSE)
            before, settled = settled, self._look()
            if settled > before:
                moved = time.monotonic()
            if not self._system.is_alive():
                raise NotRunning(f"The system ended on the way:\n{self._system.last_words()}")
            if time.monotonic() - moved > STUCK_SECONDS:
                raise NotRunning(
                    f"No image moved for {STUCK_SECONDS:.0f} s; see the logs in {self._system.folder.logs}."
                )

    def _look(self) -> int:
        with self._system.database.read() as session:
            settled = session.scalar(select(func.count()).where(Instance.state.in_(SETTLED))) or 0
        self._bar.update(self._settled, completed=settled)
        return settled


def _films(delivery: Delivery, folder: Path) -> Iterator[Path]:
    """The files in order, drawn by other processes a little ahead of the sender."""
    remaining = iter(range(len(delivery.shots)))
    waiting: list[Future[Path]] = []
    # Ctrl-C is for the demo itself: it ends its artists.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(ARTISTS, multiprocessing.get_context("spawn"), signal.signal, ignore) as artists:
        while True:
            while len(waiting) < AHEAD and (number := next(remaining, None)) is not None:
                shot = delivery.shots[number]
                record = delivery.records[shot.label]
                waiting.append(artists.submit(write, shot, record, delivery.taken[number], delivery.seed, folder))
            if not waiting:
                return
            yield waiting.pop(0).result()
