"""The list of training and evaluation images, one row an image, patients kept in one split each."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from retrieval.errors import ManifestInvalid

COLUMNS = ("file", "dataset", "patient", "split", "finding", "view", "sex", "age", "day")


class Split(StrEnum):
    """Which patients an image belongs to: those learned from, those calibrated on, those only reported on."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@dataclass(frozen=True)
class ImageRow:
    """One image of the manifest; `path` is absolute. Empty or None where not known.

    Attributes:
        sex: `F` or `M`. age: years. day: days since the first image or since admission, for the order in time.
    """

    path: Path
    file: str
    dataset: str
    patient: str
    split: Split
    finding: str
    view: str
    sex: str = ""
    age: float | None = None
    day: float | None = None


def read_manifest(path: Path, datasets: Sequence[str] | None = None) -> tuple[ImageRow, ...]:
    """Read a manifest CSV with at least the columns file, dataset, patient, split, finding and view.

    The columns sex, age and day are read if they are there.

    Args:
        path: the CSV; files are relative to its folder.
        datasets: keep these only; all if None.

    Raises:
        ManifestInvalid: unreadable, a column or split is missing, or a patient is in two splits.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = tuple(parse_row(path, raw) for raw in csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestInvalid(f"The manifest {path} cannot be read: {error}.") from error
    check_splits(rows)
    return tuple(row for row in rows if datasets is None or row.dataset in datasets)


def parse_row(table: Path, raw: Mapping[str, str | None]) -> ImageRow:
    """Make an image of one row's cells, by column; `table` is the CSV that they come from.

    Raises:
        ManifestInvalid: a column is missing, the split is unknown, or age or day is no number.
    """
    try:
        return ImageRow(
            path=table.parent / _text(raw["file"]),
            file=_text(raw["file"]),
            dataset=_text(raw["dataset"]),
            patient=_text(raw["patient"]),
            split=Split(_text(raw["split"])),
            finding=_text(raw["finding"]).strip(),
            view=_text(raw["view"]).strip(),
            sex=(raw.get("sex") or "").strip(),
            age=_number(raw.get("age")),
            day=_number(raw.get("day")),
        )
    except (KeyError, ValueError) as error:
        raise ManifestInvalid(f"The manifest {table} lacks a column or holds an unknown value: {error}.") from error


def write_manifest(path: Path, rows: Iterable[ImageRow]) -> None:
    """Write a manifest that `read_manifest` reads; it appears complete under its name or not at all.

    Images below the manifest's folder are named relative to it, so that the folder may be moved; others by their
    absolute path.

    Raises:
        ManifestInvalid: it cannot be written, or a patient is in two splits.
    """
    chosen = tuple(rows)
    check_splits(chosen)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = path.parent.resolve()
        with partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(_cells(row, folder) for row in chosen)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise ManifestInvalid(f"The manifest {path} cannot be written: {error.strerror}.") from error


def check_splits(rows: Iterable[ImageRow]) -> None:
    """Make sure that no patient is in two splits.

    Raises:
        ManifestInvalid: one is.
    """
    seen: dict[str, Split] = {}
    for row in rows:
        if seen.setdefault(row.patient, row.split) is not row.split:
            raise ManifestInvalid(f"{row.file} puts its patient into a second split; a patient must be in one only.")


def _cells(row: ImageRow, folder: Path) -> tuple[str, ...]:
    place = row.path.resolve()
    file = place.relative_to(folder).as_posix() if place.is_relative_to(folder) else str(place)
    age, day = ("" if value is None else f"{value:g}" for value in (row.age, row.day))
    return file, row.dataset, row.patient, row.split.value, row.finding, row.view, row.sex, age, day


def _text(cell: str | None) -> str:
    if cell is None:
        raise ValueError("a row is too short")
    return cell


def _number(text: str | None) -> float | None:
    return float(text) if text and text.strip() else None
