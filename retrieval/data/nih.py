"""NIH ChestX-ray14 as its makers hand it out: `Data_Entry_2017.csv` beside folders of PNG images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from retrieval.data.age import years
from retrieval.data.manifest import ImageRow
from retrieval.data.source import Found, LeftOut, read_table
from retrieval.data.splits import Splits
from retrieval.errors import ManifestInvalid

TABLES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")
COLUMNS = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender")

_NAME = "nih"


def read_nih(table: Path, splits: Splits) -> Found:
    """Read the table and look for its images in all folders beside it (`images`, `images_001/images`, ...).

    The follow-up number becomes `day`, an order and no duration. Ages above 120 are typing errors and left empty.
    Images that are in the table but in no folder are left out, so that a part of the data set may be used.

    Args:
        table: `Data_Entry_2017.csv` or its corrected form of 2020.
        splits: deals the patients.

    Raises:
        ManifestInvalid: the table cannot be read or lacks a column.

    Source: Wang et al., ChestX-ray8, CVPR 2017.
    """
    places = _images(table.parent)
    rows: list[ImageRow] = []
    left_out: list[LeftOut] = []
    for entry in read_table(table, COLUMNS):
        name = entry["Image Index"]
        if name in places:
            rows.append(_row(places[name], entry, splits, table))
        else:
            left_out.append(LeftOut(name, "it is in the table but in no folder"))
    return Found(tuple(rows), tuple(left_out))


def _images(folder: Path) -> dict[str, Path]:
    return {
        name: Path(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith((".png", ".jpg"))
    }


def _row(path: Path, entry: Mapping[str, str], splits: Splits, table: Path) -> ImageRow:
    patient = f"{_NAME}:{entry['Patient ID']}"
    try:
        age, order = years(entry["Patient Age"]), float(entry["Follow-up #"])
    except ValueError as error:
        raise ManifestInvalid(f"{table}: the age or follow-up number of {path.name} is no number.") from error
    return ImageRow(
        path=path,
        file=path.name,
        dataset=_NAME,
        patient=patient,
        split=splits.of(patient),
        finding=entry["Finding Labels"],
        view=entry.get("View Position", ""),
        sex=entry["Patient Gender"],
        age=age,
        day=order,
    )
