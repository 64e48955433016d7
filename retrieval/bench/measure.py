"""One method on the images of an evaluation: how well it recognises, how long it takes, what it needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic

import numpy as np
import numpy.typing as npt
import psutil
import torch

from retrieval.bench.decision import Decision, decide
from retrieval.bench.extras import Extra
from retrieval.bench.field import FieldFigures, field_figures, kept_pairs
from retrieval.bench.method import About, ImageMethod, Images, Represented
from retrieval.errors import ManifestInvalid
from retrieval.evaluation.cohort import Cohort
from retrieval.evaluation.findings_figures import CHANCE, FindingsFigures, cohort_findings
from retrieval.evaluation.listed_pairs import ListedPairs, PairFigures
from retrieval.evaluation.protocol import Figures, evaluate

_EVERY = 0.02
_TIMED = 16
_MIB = 1 << 20
_NAN: Any = float("nan")


@dataclass(frozen=True)
class Costs:
    """What a method takes.

    Times are of the processor, all threads together, so that what else the machine does bears on them little.

    Attributes:
        ms_per_image: to represent an image, one process, batches of 16; with a gate, to ask it too.
        us_per_comparison: of two represented images, when one is compared with many.
        bytes_per_image: what is kept of an image.
        memory_mib: by how much the process grew while it represented the images, or while it compared them, at its
            peak; the larger.
        training_s: to make the method ready, which is to train it, or else to load its weights; 0 where an earlier row
            has done so already.
        training_mib: by how much the process and the GPU's memory grew meanwhile, at their peak.
    """

    ms_per_image: float
    us_per_comparison: float
    bytes_per_image: float
    memory_mib: float
    training_s: float
    training_mib: float


@dataclass(frozen=True)
class Measured:
    """One method.

    Attributes:
        about: who it is. costs: what it takes. figures: of the search for persons, on each cohort.
        extras: tables that only its paper has.
        findings, chance: figures of the search by findings, the method's and those of equal distances everywhere, on
            each cohort in which at least two findings are known.
        decisions: by one threshold, on each cohort.
        field: by the field's protocol, on all images; None if the list of pairs lacks a kind.
    """

    about: About
    costs: Costs
    figures: tuple[Figures, ...]
    extras: tuple[Extra, ...] = ()
    findings: tuple[FindingsFigures, ...] = ()
    chance: tuple[FindingsFigures, ...] = ()
    decisions: tuple[Decision, ...] = ()
    field: FieldFigures | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values, for `from_json`; NaN is None."""
        return {
            "about": asdict(self.about),
            "costs": asdict(self.costs),
            "figures": [_plain(one) for one in self.figures],
            "extras": [asdict(one) for one in self.extras],
            "findings": [_plain(one) for one in self.findings],
            "chance": [_plain(one) for one in self.chance],
            "decisions": [_plain(one) for one in self.decisions],
            "field": None if self.field is None else {**_plain(self.field), "pairs": _plain(self.field.pairs)},
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Measured:
        """What `to_json` wrote; raises KeyError or TypeError for anything else."""
        figures = tuple(Figures(**_read(one)) for one in raw["figures"])
        extras = tuple(
            Extra(one["title"], tuple(one["heading"]), tuple(tuple(row) for row in one["rows"]))
            for one in raw["extras"]
        )
        findings, chance = (tuple(FindingsFigures(**_read(one)) for one in raw[key]) for key in ("findings", "chance"))
        return cls(
            About(**raw["about"]),
            Costs(**raw["costs"]),
            figures,
            extras,
            findings,
            chance,
            tuple(Decision(**_read(one)) for one in raw["decisions"]),
            None if raw["field"] is None else _read_field(raw["field"]),
        )


@dataclass(frozen=True)
class Seen(Generic[Represented]):
    """n images as one method represents them, and what that took: see `Costs`."""

    images: Represented
    ms_per_image: float
    memory_mib: float


@dataclass(frozen=True)
class Gate:
    """Which images are informative enough to be compared, bool (n,), and what it took to ask, ms an image."""

    passed: npt.NDArray[np.bool_]
    ms_per_image: float


@dataclass(frozen=True)
class Training:
    """What it took to make a method ready: see `Costs`."""

    seconds: float = 0.0
    mib: float = 0.0


def trained(make: Callable[[], ImageMethod[Any]]) -> tuple[ImageMethod[Any], Training]:
    """Make a method, and say what that took."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if on_gpu else 0
    with _growth() as grown:
        began = time.process_time()
        method = make()
        taken = time.process_time() - began
    of_gpu = torch.cuda.max_memory_allocated() - before if on_gpu else 0
    return method, Training(taken, (grown[0] + of_gpu) / _MIB)


def see(method: ImageMethod[Represented], images: Images) -> Seen[Represented]:
    """Represent prepared images uint8 (n, h, w), and time it."""
    with _growth() as grown:
        method.represent(images[:1])  # what is loaded or compiled at first use is not an image's cost
        began = time.process_time()
        represented = method.represent(images)
        taken = time.process_time() - began
    return Seen(represented, 1e3 * taken / len(images), grown[0] / _MIB)


def measure(
    method: ImageMethod[Represented],
    seen: Seen[Represented],
    cohorts: Sequence[Cohort],
    listed: ListedPairs,
    rounds: int,
    gate: Gate | None = None,
    training: Training = Training(),
) -> Measured:
    """Compare the images that a method has seen, within each cohort and by the field's protocol, and time it.

    Args:
        seen: n images. cohorts: of positions among them; the last is of all of them.
        listed: pairs of positions in the last cohort.
        rounds: draws of patients for the intervals.
        gate: which images may be compared; all if None. training: what it took to make the method.

    Raises:
        ManifestInvalid: of a cohort no image may be compared.
    """
    everything = cohorts[-1]
    if gate is not None:
        cohorts = [cohort.chosen(gate.passed) for cohort in cohorts]
        listed = kept_pairs(listed, gate.passed)
    if empty := [cohort.name for cohort in cohorts if not cohort.rows]:
        raise ManifestInvalid(
            f"The gate lets no image of {', '.join(empty)} through, so methods with a gate cannot be measured there; "
            "name the methods without one."
        )
    count = len(everything.rows)
    few = method.chosen(seen.images, list(range(min(_TIMED, count))))
    with _growth() as grown:
        began = time.process_time()
        method.similarity(few, seen.images)
        to_compare = time.process_time() - began
        whole = method.similarity(seen.images, seen.images)
    name = method.about.name
    compared = [(whole[np.ix_(cohort.positions, cohort.positions)], cohort) for cohort in cohorts]
    costs = Costs(
        ms_per_image=seen.ms_per_image + (0.0 if gate is None else gate.ms_per_image),
        us_per_comparison=1e6 * to_compare / (min(_TIMED, count) * count),
        bytes_per_image=method.nbytes(seen.images) / count,
        memory_mib=max(seen.memory_mib, grown[0] / _MIB),
        training_s=training.seconds,
        training_mib=training.mib,
    )
    findings = [cohort_findings(cohort, name, -similarity, rounds) for similarity, cohort in compared]
    chance = [cohort_findings(cohort, CHANCE, np.zeros_like(similarity), rounds) for similarity, cohort in compared]
    both = listed.same.any() and not listed.same.all()
    return Measured(
        method.about if gate is None else replace(method.about, name=f"{name}, gated"),
        costs,
        tuple(evaluate(name, similarity, cohort, rounds)[0] for similarity, cohort in compared),
        tuple(method.extras(seen.images, cohorts)) if gate is None else (),
        tuple(one for one in findings if one is not None),
        tuple(one for one in chance if one is not None),
        tuple(decide(similarity, cohort) for similarity, cohort in compared),
        field_figures(name, whole, everything.rows, listed, rounds) if both else None,
    )


def _plain(figures: Figures | FindingsFigures | Decision | FieldFigures | PairFigures) -> dict[str, Any]:
    return {key: None if value != value else value for key, value in asdict(figures).items()}


def _read_field(raw: dict[str, Any]) -> FieldFigures:
    return FieldFigures(**{**_read(raw), "pairs": PairFigures(**_read(raw["pairs"]))})


def _read(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: _NAN if value is None else value for key, value in raw.items()}


@contextmanager
def _growth() -> Iterator[list[int]]:
    """A list whose only value becomes the growth of this process's resident memory, in bytes, at its peak."""
    process = psutil.Process()
    before = process.memory_info().rss
    grown = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_EVERY):
            grown[0] = max(grown[0], process.memory_info().rss - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield grown
    finally:
        done.set()
        watcher.join()
