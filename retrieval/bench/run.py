"""All methods on one manifest, one after the other; what is measured once is kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from retrieval.bench.catalogue import Entry
from retrieval.bench.field import balanced_pairs
from retrieval.bench.measure import Gate, Measured, Seen, measure, see, trained
from retrieval.bench.method import Images
from retrieval.bench.training_time import TrainingTime
from retrieval.data.cache import prepared_images
from retrieval.data.copies import without_copies
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.errors import ManifestInvalid
from retrieval.evaluation.cohort import LATERAL, cohorts
from retrieval.evaluation.listed_pairs import ListedPairs, read_listed
from retrieval.evaluation.selection import drawn

_FOLDER = "methods"
_SEVERAL = 2 / 3


@dataclass(frozen=True)
class Comparison:
    """What to compare on.

    Attributes:
        manifest: CSV of images. cache: folder for prepared images.
        datasets: whose images; all of the manifest if empty.
        split: whose patients. images: at most, of all datasets alike, see `draw`; all if None.
        rounds: draws of patients for the intervals.
        pairs: list of pairs for the field's protocol; drawn as Packhäuser et al. did if None.
    """

    manifest: Path
    cache: Path
    datasets: tuple[str, ...] = ()
    split: Split = Split.TEST
    images: int | None = 200
    rounds: int = 300
    pairs: Path | None = None


def compare(
    task: Comparison,
    entries: Sequence[Entry],
    folder: Path,
    said: Callable[[str, int, int], None],
    suitable: Callable[[Images], npt.NDArray[np.bool_]],
    limit: TrainingTime | None = None,
) -> list[Measured]:
    """Measure every method, or read what an earlier run in `folder` measured on the same images.

    A network whose training time was up is measured as far as it came, and goes on in the next run.

    Args:
        entries: the methods, in the order of the tables. folder: gets `methods/<key>.json`.
        said: called before each method with its name, its place from 1, and how many there are.
        suitable: the gate: of images uint8 (n, h, w), which are informative, bool (n,); asked once at most.
        limit: what the methods' networks are trained by; it is told how many there are.

    Raises:
        ManifestInvalid: the manifest, an image or the list of pairs cannot be used, or no image is left to compare.
    """
    rows, listed = draw(task)
    images = prepared_images(rows, task.cache)
    parts = cohorts(rows)
    kept = folder / _FOLDER
    kept.mkdir(parents=True, exist_ok=True)
    marks = [_fingerprint(task, rows, listed, entry) for entry in entries]
    known = [_read(kept / f"{entry.key}.json", of) for entry, of in zip(entries, marks, strict=True)]
    if limit is not None:
        wanting = [entry for entry, one in zip(entries, known, strict=True) if one is None and entry.trained]
        limit.waiting = len({entry.represented_as for entry in wanting})
    found = []
    gate: Gate | None = None
    last: tuple[str, Seen[Any]] | None = None
    for place, (entry, of, measured) in enumerate(zip(entries, marks, known, strict=True), start=1):
        said(entry.name, place, len(entries))
        if measured is None:
            if entry.gated and gate is None:
                gate = _ask(suitable, images)
            method, training = trained(entry.make)
            if last is None or last[0] != entry.represented_as:
                last = entry.represented_as, see(method, images)
            measured = measure(method, last[1], parts, listed, task.rounds, gate if entry.gated else None, training)
            _write(kept / f"{entry.key}.json", of, measured, method.finished)
        found.append(measured)
    return found


def draw(task: Comparison) -> tuple[list[ImageRow], ListedPairs]:
    """The images to compare, and the pairs of the field's protocol by positions among them.

    Every dataset may give as many images, of whole patients drawn at random: two thirds of patients with several, as
    far as there are, so that there is something to find; the rest of strangers with one. All that a list of pairs names
    are taken too.

    Raises:
        ManifestInvalid: the split has no frontal image, or none of a wanted dataset, or the list cannot be used.
    """
    everybody = without_copies(read_manifest(task.manifest))
    rows = [row for row in everybody if row.split is task.split and row.view != LATERAL]
    names = task.datasets or tuple(sorted({row.dataset for row in rows}))
    chosen: set[int] = set()
    for name in names:
        mine = [i for i, row in enumerate(rows) if row.dataset == name]
        if not mine:
            raise ManifestInvalid(f"The manifest has no frontal image of {name!r} in its split {task.split.value!r}.")
        most = len(mine) if task.images is None else max(2, task.images // len(names))
        chosen.update(_drawn(rows, mine, most))
    if not chosen:
        raise ManifestInvalid(f"The manifest {task.manifest} has no frontal image in its split {task.split.value!r}.")
    if task.pairs is None:
        drawn_rows = [rows[i] for i in sorted(chosen)]
        return drawn_rows, balanced_pairs(drawn_rows)
    listed = read_listed(task.pairs, rows)
    taken = np.array(sorted({*chosen, *listed.first.tolist(), *listed.second.tolist()}))
    first, second = (np.searchsorted(taken, side) for side in (listed.first, listed.second))
    return [rows[i] for i in taken.tolist()], ListedPairs(first, second, listed.same)


def compared(task: Comparison) -> str:
    """What is compared, as a text that changes with images, patients, pairs and draws."""
    rows, listed = draw(task)
    images = [[row.dataset, row.patient, row.file, row.view] for row in rows]
    pairs = [listed.first.tolist(), listed.second.tolist(), listed.same.tolist()]
    return hashlib.sha256(json.dumps([images, pairs, task.rounds]).encode()).hexdigest()[:16]


def _drawn(rows: Sequence[ImageRow], positions: Sequence[int], limit: int) -> list[int]:
    if len(positions) <= limit:
        return list(positions)
    images = Counter(rows[i].patient for i in positions)
    several = [i for i in positions if images[rows[i].patient] > 1]
    single = [i for i in positions if images[rows[i].patient] == 1]
    kept = drawn(rows, several, max(limit - len(single), round(_SEVERAL * limit))) if several else []
    return sorted(kept + (drawn(rows, single, limit - len(kept)) if single and len(kept) < limit else []))


def _ask(suitable: Callable[[Images], npt.NDArray[np.bool_]], images: Images) -> Gate:
    suitable(images[:1])  # what is loaded at first use is not an image's cost
    began = time.process_time()
    passed = suitable(images)
    return Gate(passed, 1e3 * (time.process_time() - began) / len(images))


def _fingerprint(task: Comparison, rows: Sequence[ImageRow], listed: ListedPairs, entry: Entry) -> str:
    """What figures are of: images, patients, pairs, draws, and what the method was made from."""
    images = [[row.file, row.patient, row.view, row.dataset] for row in rows]
    pairs = [listed.first.tolist(), listed.second.tolist(), listed.same.tolist()]
    text = json.dumps([images, pairs, task.rounds, entry.made_from])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path, of: str) -> Measured | None:
    if not path.is_file():
        return None
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        done = raw["of"] == of and raw["finished"]
        return Measured.from_json(raw["measured"]) if done else None
    except (ValueError, KeyError, TypeError) as error:
        Console(stderr=True).print(f"{path.name} cannot be read ({type(error).__name__}) and is measured again.")
        return None


def _write(path: Path, of: str, measured: Measured, finished: bool) -> None:
    partial = path.with_suffix(".partial")
    raw = {"of": of, "finished": finished, "measured": measured.to_json()}
    partial.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
