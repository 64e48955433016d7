"""Pairs of images made before training and kept in a file, so that every run and method learns from the same ones."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from retrieval.data.hard_negatives import HardNegatives, Positions, patient_numbers
from retrieval.data.manifest import ImageRow
from retrieval.data.source import read_table
from retrieval.errors import ManifestInvalid

COLUMNS = ("file_a", "file_b", "same", "hard")

_FLAGS = {"0": False, "1": True}


@dataclass(frozen=True, eq=False)
class PairList:
    """m pairs of images, named by their positions in a list of rows.

    Attributes:
        first, second: int64 (m,), never equal.
        same: bool (m,), whether both are of one patient.
        hard: bool (m,), whether a negative was chosen because it is hard; false for positives.

    Raises:
        ManifestInvalid: the arrays break one of these rules.
    """

    first: Positions
    second: Positions
    same: npt.NDArray[np.bool_]
    hard: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not self.first.shape == self.second.shape == self.same.shape == self.hard.shape == (len(self.first),):
            raise ManifestInvalid("The columns of a pair list must be of one length.")
        if np.any(self.first == self.second):
            raise ManifestInvalid("A pair list pairs an image with itself.")
        if np.any(self.same & self.hard):
            raise ManifestInvalid("A pair list calls a pair of one patient a hard negative.")

    def __len__(self) -> int:
        return len(self.first)


def make_pairs(
    rows: Sequence[ImageRow], hard: HardNegatives, seed: int, most_partners: int | None = None, quiet: bool = False
) -> PairList:
    """For every image and every other image of its patient, one positive pair and one negative pair after it.

    Half of the negatives are hard, drawn evenly from what `hard` proposes; the others are drawn evenly from all images
    of other patients. Images without a hard negative get the others; if these are more than half of all, fewer than
    half are hard. Same rows and seed, same pairs.

    Args:
        rows: n images, of one split.
        hard: proposes hard negatives by position in `rows`.
        most_partners: of each image, at most so many others of its patient, drawn evenly; all if None. A patient with
            many images supplies pairs by their square.
        quiet: show no progress bar.

    Raises:
        ManifestInvalid: no patient has two images, or there is only one patient.

    Source: P3, algorithm 2; its hard negatives are of the same class, ours of other patients of the same kind.
    """
    rng = np.random.default_rng(seed)
    patient = patient_numbers(rows)
    if patient.max(initial=0) == 0:
        raise ManifestInvalid("Pairs need at least two patients; look at the datasets and the split.")
    first, second = _positives(patient, most_partners, rng)
    if not len(first):
        raise ManifestInvalid("Pairs need a patient with two images; look at the datasets and the split.")
    negative, difficult = _any_other(first, patient, rng), _hard_ones(first, hard, rng, quiet)
    able = np.flatnonzero(difficult >= 0)
    chosen = rng.choice(able, min(len(able), len(first) // 2), replace=False)
    negative[chosen] = difficult[chosen]
    is_hard = np.zeros(len(first), dtype=np.bool_)
    is_hard[chosen] = True
    return PairList(
        first=np.repeat(first, 2),
        second=np.stack([second, negative], axis=1).reshape(-1),
        same=np.tile([True, False], len(first)),
        hard=np.stack([np.zeros_like(is_hard), is_hard], axis=1).reshape(-1),
    )


def write_pairs(path: Path, rows: Sequence[ImageRow], pairs: PairList) -> None:
    """Write a pair list as CSV: `file_a`, `file_b` as in the manifest, `same` and `hard` as 0 or 1.

    Raises:
        ManifestInvalid: it cannot be written, or two rows name the same file.
    """
    _by_name(rows)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            columns = (pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), pairs.hard.tolist())
            for a, b, same, hard in zip(*columns, strict=True):
                writer.writerow((rows[a].file, rows[b].file, int(same), int(hard)))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise ManifestInvalid(f"The pair list {path} cannot be written: {error.strerror}.") from error


def read_pairs(path: Path, rows: Sequence[ImageRow]) -> PairList:
    """Read what `write_pairs` wrote; positions are those in `rows`.

    Raises:
        ManifestInvalid: it cannot be read, names an image that is not in `rows`, or says of a pair what the patients
            of the two images contradict.
    """
    places = _by_name(rows)
    pairs: list[tuple[int, int, bool, bool]] = []
    for entry in read_table(path, COLUMNS):
        try:
            a, b = places[entry["file_a"]], places[entry["file_b"]]
            same, hard = _FLAGS[entry["same"]], _FLAGS[entry["hard"]]
        except KeyError as error:
            raise ManifestInvalid(
                f"{path} holds {error.args[0]!r}, which is no image of this manifest and split, one that is "
                "left out, or not 0 or 1; make the pairs anew from this manifest."
            ) from error
        if same != (rows[a].patient == rows[b].patient):
            raise ManifestInvalid(
                f"{path} and the manifest disagree whether {entry['file_a']} has a pair in "
                f"{entry['file_b']}; make the pairs anew from this manifest."
            )
        pairs.append((a, b, same, hard))
    table = np.array(pairs, dtype=np.int64).reshape(-1, 4)
    return PairList(table[:, 0], table[:, 1], table[:, 2].astype(np.bool_), table[:, 3].astype(np.bool_))


def _positives(patient: Positions, most_partners: int | None, rng: np.random.Generator) -> tuple[Positions, Positions]:
    """Both images (m,) and (m,) of every positive pair, in both orders; the first ascending."""
    order = np.argsort(patient, kind="stable")
    of_patient = np.split(order, np.flatnonzero(np.diff(patient[order])) + 1)
    partners: list[Positions] = []
    for position, number in enumerate(patient.tolist()):
        others = of_patient[number][of_patient[number] != position]
        if most_partners is not None and len(others) > most_partners:
            others = np.sort(rng.choice(others, most_partners, replace=False))
        partners.append(others)
    first = np.repeat(np.arange(len(patient)), [len(others) for others in partners])
    return first.astype(np.int64), np.concatenate(partners).astype(np.int64)


def _any_other(first: Positions, patient: Positions, rng: np.random.Generator) -> Positions:
    """For each position an image of another patient, evenly from all."""
    drawn = rng.integers(0, len(patient), len(first))
    while len(again := np.flatnonzero(patient[drawn] == patient[first])):
        drawn[again] = rng.integers(0, len(patient), len(again))
    return drawn.astype(np.int64)


def _hard_ones(first: Positions, hard: HardNegatives, rng: np.random.Generator, quiet: bool) -> Positions:
    """For each position one of its hard negatives, drawn evenly; -1 where it has none."""
    drawn = np.full(len(first), -1, dtype=np.int64)
    # The places of one image stand together, so what is proposed for it is asked for once.
    positions, starts, counts = np.unique(first, return_index=True, return_counts=True)
    places = zip(positions.tolist(), starts.tolist(), counts.tolist(), strict=True)
    shown = track(places, "choosing negatives", len(positions), console=Console(stderr=True), disable=quiet)
    for position, start, count in shown:
        proposed = hard.of(position)
        if len(proposed):
            drawn[start : start + count] = rng.choice(proposed, count)
    return drawn


def _by_name(rows: Sequence[ImageRow]) -> dict[str, int]:
    places = {row.file: position for position, row in enumerate(rows)}
    if len(places) != len(rows):
        raise ManifestInvalid("The manifest names an image twice, so a pair list cannot name it.")
    return places
