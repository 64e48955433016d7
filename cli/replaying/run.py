"""Runs the rounds of a replay, through the pipeline in this process or through a whole system by DICOM."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.console import Console

from archive.alerts import record_rule
from cli.demonstration.run import deliver
from cli.demonstration.scratch import ScratchSystem
from cli.outcome import InputNotUsable
from cli.output import progress_bar
from cli.replaying.evidence import EvidenceFile
from cli.replaying.kinds import ErrorKind
from cli.replaying.outcome import FORMAT, RoundOutcome, outcome
from cli.replaying.pipeline import RememberingEncoder, opened
from cli.replaying.plan import Plan, Shares, planned
from cli.replaying.simulation import simulated
from cli.sources import Source
from config.settings import load_settings
from retrieval.encoder import Encoder
from workers.decode_pool import DecodePool

WORK = "work"
# As many rounds as plant about so many swaps, so that a share means something; at most so many rounds.
SWAPS_WANTED = 100
MOST_ROUNDS = 20


@dataclass(frozen=True)
class Task:
    """What to replay.

    Attributes:
        weights: name of shipped weights, or a weight file. rounds: None for as many as `SWAPS_WANTED` asks for.
        over_network: through a whole system, by C-STORE, instead of in this process.
    """

    sources: Sequence[Source]
    shares: Shares
    seed: int
    weights: str
    budget: float
    rounds: int | None
    over_network: bool
    output: Path

    @property
    def name(self) -> str:
        """Names everything that the result depends on, but for the code."""
        images = [(source.name, source.columns) for source in self.sources]
        told = [FORMAT, images, repr(self.shares), self.seed, self.weights, self.budget, self.over_network]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def options_for(plan: Plan, weights: str, budget: float) -> str:
    """The option file of the replayed system: it is told how frequent errors are, and keeps the weakest alert.

    A posterior stands on base rates, and here errors are far more frequent than in a hospital. An alert is raised from
    a tenth of the base rate on, so that the list can be cut anywhere afterwards.
    """
    swaps = max(plan.rate(ErrorKind.WITH_PRIORS, ErrorKind.ALIKE, ErrorKind.WITHOUT_PRIORS), 1e-5)
    doubles = max(plan.rate(ErrorKind.SECOND_RECORD), 1e-5)
    return (
        "# Written by lungprint replay: here errors are far more frequent than in a hospital.\n"
        f"[encoder]\nweights = {json.dumps(weights)}\n"
        "[verdict]\n"
        f"base_rate = {swaps:.6f}\n"
        f"duplicate_rate = {doubles:.6f}\n"
        f"min_probability = {0.1 * min(swaps, doubles):.6f}\n"
        f"alerts_per_1000 = {budget:.3f}\n"
    )


class Replay:
    """Plays the rounds; what is finished lies in the work folder and is not played again.

    Args:
        out: where a replay over the network shows its progress.

    Raises:
        InputNotUsable: no error can be planted.
    """

    def __init__(self, task: Task, out: Console) -> None:
        self.task = task
        self._out = out
        first = planned(task.sources, task.shares, task.seed, 0)
        swaps = sum(kind.is_swap for kind in first.errors.values())
        self.rounds = task.rounds or min(MOST_ROUNDS, max(1, -(-SWAPS_WANTED // max(swaps, 1))))
        self._work = _prepare(task)

    def play(self) -> list[RoundOutcome]:
        """All rounds, with a progress bar for the images of all of them.

        Raises:
            PeerRefused, NotRunning: over the network, the system did not work.
            WeightsNotUsable, CalibrationInvalid: there are no such weights.
        """
        with self._played() as round_of:
            return [self._kept(number, round_of) for number in range(self.rounds)]

    def tidy(self) -> None:
        """Remove the work folder, which holds the images as DICOM files."""
        shutil.rmtree(self._work)

    def _kept(self, number: int, round_of: Callable[[Plan, Path], RoundOutcome]) -> RoundOutcome:
        kept = self._work / f"round-{number + 1}.json"
        if not kept.exists():
            folder = self._work / f"round-{number + 1}"
            plan = planned(self.task.sources, self.task.shares, self.task.seed, number)
            round_of(plan, folder).save(kept)
            shutil.rmtree(folder)
        return RoundOutcome.load(kept)

    @contextmanager
    def _played(self) -> Iterator[Callable[[Plan, Path], RoundOutcome]]:
        if self.task.over_network:
            yield self._over_network
            return
        with _InProcess(self.task, self.rounds) as pipeline:
            yield pipeline.play

    def _over_network(self, plan: Plan, folder: Path) -> RoundOutcome:
        system = ScratchSystem(folder, options_for(plan, self.task.weights, self.task.budget))
        try:
            deliver(plan.delivery, system, system.start(), self._out)
            with system.database.read() as session:
                return outcome(session, plan, record_rule(system.settings))
        finally:
            system.close()


class _InProcess:
    """The network and the decoders, loaded once for all rounds, and the progress bar."""

    def __init__(self, task: Task, rounds: int) -> None:
        self._task = task
        self._rounds = rounds
        self._settings = load_settings(task.output / WORK, environ={})
        self._decoders = DecodePool(self._settings.decoding)
        self._bar = progress_bar()
        self._done = 0

    def __enter__(self) -> _InProcess:
        self._bar.start()
        self._line = self._bar.add_task("judged", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self._decoders.close()

    @cached_property
    def _encoder(self) -> RememberingEncoder:
        options = self._settings.encoder
        return RememberingEncoder(Encoder.load(self._task.weights, options.device, threads=options.threads or None))

    def play(self, plan: Plan, folder: Path) -> RoundOutcome:
        """One round."""
        self._bar.update(self._line, total=self._rounds * len(plan.delivery.shots))
        options = options_for(plan, self._task.weights, self._task.budget)
        with opened(folder, options, self._encoder, self._decoders) as pipeline:
            kept = EvidenceFile(folder / "evidence.jsonl")
            pipeline.run(
                plan.delivery,
                seen=lambda number, found: kept.append(number, found.evidence),
                settled=lambda number: self._bar.advance(self._line),
            )
            with pipeline.database.read() as session:
                measured = outcome(session, plan, record_rule(pipeline.settings))
            return simulated(measured, plan, pipeline, kept.read(), self._task.seed)


def _prepare(task: Task) -> Path:
    """The work folder, gone on with if it is of the same task, else emptied.

    Raises:
        InputNotUsable: there is something else in its place.
    """
    work = task.output / WORK
    mark = work / "task"
    if work.exists() and any(work.iterdir()):
        if not mark.is_file():
            raise InputNotUsable(f"{work} holds something else than a replay; choose another folder with --output.")
        if mark.read_text(encoding="utf-8") != task.name:
            shutil.rmtree(work)
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark.write_text(task.name, encoding="utf-8")
    return work
