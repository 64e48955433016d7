"""One method on the images of an evaluation: how well it recognises, how long it takes, what it needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from retrieval.bench.extras import Extra
from retrieval.bench.method import About, ImageMethod, Images
from retrieval.errors import ManifestInvalid
from retrieval.evaluation.cohort import Cohort
from retrieval.evaluation.findings_figures import CHANCE, FindingsFigures, cohort_findings
from retrieval.evaluation.protocol import Figures, evaluate

_EVERY = 0.02
_TIMED = 16
_MIB = 1 << 20
_NAN: Any = float("nan")


@dataclass(frozen=True)
class Costs:
    """What a method takes.

    Attributes:
        ms_per_image: to represent an image, one process, batches of 16.
        us_per_comparison: of two represented images, when one is compared with many.
        bytes_per_image: what is kept of an image.
        memory_mib: by how much the process grew while it represented and compared the images, at its peak.
    """

    ms_per_image: float
    us_per_comparison: float
    bytes_per_image: float
    memory_mib: float


@dataclass(frozen=True)
class Measured:
    """One method.

    Attributes:
        about: who it is. costs: what it takes. figures: of the search for persons, on each cohort.
        extras: tables that only its paper has.
        findings, chance: figures of the search by findings, the method's and those of equal distances everywhere, on
            each cohort in which at least two findings are known.
    """

    about: About
    costs: Costs
    figures: tuple[Figures, ...]
    extras: tuple[Extra, ...] = ()
    findings: tuple[FindingsFigures, ...] = ()
    chance: tuple[FindingsFigures, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values, for `from_json`; NaN is None."""
        return {
            "about": asdict(self.about),
            "costs": asdict(self.costs),
            "figures": [_plain(one) for one in self.figures],
            "extras": [asdict(one) for one in self.extras],
            "findings": [_plain(one) for one in self.findings],
            "chance": [_plain(one) for one in self.chance],
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
        return cls(About(**raw["about"]), Costs(**raw["costs"]), figures, extras, findings, chance)


def measure(
    method: ImageMethod[Any],
    images: Images,
    cohorts: Sequence[Cohort],
    rounds: int,
    keep: npt.NDArray[np.bool_] | None = None,
) -> Measured:
    """Represent every image once, compare within each cohort, and time both.

    Args:
        images: uint8 (n, h, w), prepared. cohorts: of positions among them.
        rounds: draws of patients for the intervals.
        keep: bool (n,), which images are informative enough to be compared; all if None.

    Raises:
        ManifestInvalid: of a cohort no image is to be kept.
    """
    if keep is not None:
        cohorts = [cohort.chosen(keep) for cohort in cohorts]
    if empty := [cohort.name for cohort in cohorts if not cohort.rows]:
        raise ManifestInvalid(
            f"The gate lets no image of {', '.join(empty)} through, so methods with a gate cannot be measured there; "
            "name the methods without one."
        )
    with _growth() as grown:
        method.represent(images[:1])  # what is loaded or compiled at first use is not an image's cost
        began = time.perf_counter()
        represented = method.represent(images)
        to_represent = time.perf_counter() - began
        few = method.chosen(represented, list(range(min(_TIMED, len(images)))))
        began = time.perf_counter()
        method.similarity(few, represented)
        to_compare = time.perf_counter() - began
        similarities = []
        for cohort in cohorts:
            mine = method.chosen(represented, cohort.positions.tolist())
            similarities.append(method.similarity(mine, mine))
    compared = list(zip(similarities, cohorts, strict=True))
    found = tuple(evaluate(method.about.name, similarity, cohort, rounds)[0] for similarity, cohort in compared)
    findings = [cohort_findings(cohort, method.about.name, -similarity, rounds) for similarity, cohort in compared]
    chance = [cohort_findings(cohort, CHANCE, np.zeros_like(similarity), rounds) for similarity, cohort in compared]
    costs = Costs(
        ms_per_image=1e3 * to_represent / len(images),
        us_per_comparison=1e6 * to_compare / (min(_TIMED, len(images)) * len(images)),
        bytes_per_image=method.nbytes(represented) / len(images),
        memory_mib=grown[0] / _MIB,
    )
    about = method.about if keep is None else replace(method.about, name=f"{method.about.name}, gated")
    return Measured(
        about,
        costs,
        found,
        tuple(method.extras(represented, cohorts)) if keep is None else (),
        tuple(one for one in findings if one is not None),
        tuple(one for one in chance if one is not None),
    )


def _plain(figures: Figures | FindingsFigures) -> dict[str, Any]:
    return {key: None if value != value else value for key, value in asdict(figures).items()}


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
