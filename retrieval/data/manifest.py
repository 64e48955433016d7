"""The list of training and evaluation images, one row an image, patients kept in one split each."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from retrieval.errors import ManifestInvalid


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
        with path.open(newline="", encoding="utf-8") as stream:
            rows = tuple(_row(path.parent, raw) for raw in csv.DictReader(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"The manifest {path} cannot be read: {error}.") from error
    except (KeyError, ValueError) as error:
        raise ManifestInvalid(f"The manifest {path} lacks a column or names an unknown split: {error}.") from error
    check_splits(rows)
    return tuple(row for row in rows if datasets is None or row.dataset in datasets)


def check_splits(rows: Iterable[ImageRow]) -> None:
    """Make sure that no patient is in two splits.

    Raises:
        ManifestInvalid: one is.
    """
    seen: dict[str, Split] = {}
    for row in rows:
        if seen.setdefault(row.patient, row.split) is not row.split:
            raise ManifestInvalid(f"{row.file} puts its patient into a second split; a patient must be in one only.")


def _row(folder: Path, raw: dict[str, str]) -> ImageRow:
    return ImageRow(
        path=folder / raw["file"],
        file=raw["file"],
        dataset=raw["dataset"],
        patient=raw["patient"],
        split=Split(raw["split"]),
        finding=raw["finding"].strip(),
        view=raw["view"].strip(),
        sex=(raw.get("sex") or "").strip(),
        age=_number(raw.get("age")),
        day=_number(raw.get("day")),
    )


def _number(text: str | None) -> float | None:
    return float(text) if text and text.strip() else None
