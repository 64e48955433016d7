"""All methods on one manifest, one after the other; what is measured once is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from retrieval.bench.catalogue import Entry
from retrieval.bench.measure import Measured, measure
from retrieval.bench.method import Images
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.errors import ManifestInvalid
from retrieval.evaluation.cohort import LATERAL, cohorts
from retrieval.evaluation.selection import drawn

_FOLDER = "methods"


@dataclass(frozen=True)
class Comparison:
    """What to compare on.

    Attributes:
        manifest: CSV of images. cache: folder for prepared images.
        datasets: whose images; all of the manifest if empty.
        split: whose patients. images: at most, of each dataset, whole patients drawn at random.
        rounds: draws of patients for the intervals.
    """

    manifest: Path
    cache: Path
    datasets: tuple[str, ...] = ()
    split: Split = Split.TEST
    images: int = 400
    rounds: int = 300


def compare(
    task: Comparison,
    entries: Sequence[Entry],
    folder: Path,
    said: Callable[[str, int, int], None],
    suitable: Callable[[Images], npt.NDArray[np.bool_]],
) -> list[Measured]:
    """Measure every method, or read what an earlier run in `folder` measured on the same images.

    Args:
        entries: the methods, in the order of the tables. folder: gets `methods/<key>.json`.
        said: called before each method with its name, its place from 1, and how many there are.
        suitable: the gate: of images uint8 (n, h, w), which are informative, bool (n,); asked once at most.

    Raises:
        ManifestInvalid: the manifest or an image cannot be used, or no image is left to compare.
    """
    rows = _rows(task)
    images = prepared_images(rows, task.cache)
    parts = cohorts(rows)
    kept = folder / _FOLDER
    kept.mkdir(parents=True, exist_ok=True)
    found = []
    passed: npt.NDArray[np.bool_] | None = None
    for place, entry in enumerate(entries, start=1):
        said(entry.name, place, len(entries))
        path = kept / f"{entry.key}.json"
        of = _fingerprint(task, rows, entry)
        measured = _read(path, of)
        if measured is None:
            if entry.gated and passed is None:
                passed = suitable(images)
            measured = measure(entry.make(), images, parts, task.rounds, passed if entry.gated else None)
            _write(path, of, measured)
        found.append(measured)
    return found


def _rows(task: Comparison) -> list[ImageRow]:
    rows = [row for row in read_manifest(task.manifest) if row.split is task.split and row.view != LATERAL]
    names = task.datasets or tuple(sorted({row.dataset for row in rows}))
    chosen: list[ImageRow] = []
    for name in names:
        mine = [i for i, row in enumerate(rows) if row.dataset == name]
        if not mine:
            raise ManifestInvalid(f"The manifest has no frontal image of {name!r} in its split {task.split.value!r}.")
        chosen += [rows[i] for i in drawn(rows, mine, task.images)]
    if not chosen:
        raise ManifestInvalid(f"The manifest {task.manifest} has no frontal image in its split {task.split.value!r}.")
    return chosen


def _fingerprint(task: Comparison, rows: Sequence[ImageRow], entry: Entry) -> str:
    """What figures are of: images, patients, draws, and what the method was made from."""
    images = [[row.file, row.patient, row.view, row.dataset] for row in rows]
    text = json.dumps([images, task.rounds, entry.made_from])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path, of: str) -> Measured | None:
    if not path.is_file():
        return None
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Measured.from_json(raw["measured"]) if raw["of"] == of else None
    except (ValueError, KeyError, TypeError) as error:
        Console(stderr=True).print(f"{path.name} cannot be read ({type(error).__name__}) and is measured again.")
        return None


def _write(path: Path, of: str, measured: Measured) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"of": of, "measured": measured.to_json()}, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
