"""CheXpert as its makers hand it out: `train.csv` or `valid.csv` beside the folders they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from retrieval.data.manifest import ImageRow
from retrieval.data.source import LATERAL, Found, LeftOut, read_table
from retrieval.data.splits import Splits
from retrieval.errors import ManifestInvalid

TABLES = ("train.csv", "valid.csv")
COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", "Pneumonia")

_NAME = "chexpert"
_FIRST_LABEL = "No Finding"
_PRESENT = 1.0
_SEX = {"Male": "M", "Female": "F"}


def read_chexpert(tables: tuple[Path, ...], splits: Splits, lateral: bool = False) -> Found:
    """Read the tables; images are looked for below the folder of each.

    Findings are those marked present, joined by `|`; uncertain ones (-1) count as not known. The number of the study
    becomes `day`, an order and no duration. An age of 0 means that it is not known.

    Args:
        tables: `train.csv`, `valid.csv` or both.
        splits: deals the patients of all tables; the published division is not kept.
        lateral: take lateral views too, as view `L`.

    Raises:
        ManifestInvalid: a table cannot be read, lacks a column, or names a path of another form.

    Source: Irvin et al., CheXpert, AAAI 2019.
    """
    rows: list[ImageRow] = []
    left_out: list[LeftOut] = []
    for table in tables:
        for entry in read_table(table, COLUMNS):
            frontal = entry["Frontal/Lateral"] == "Frontal"
            if frontal or lateral:
                rows.append(_row(entry, table, splits, frontal))
            else:
                left_out.append(LeftOut(entry["Path"], "it is a lateral view"))
    return Found(tuple(rows), tuple(left_out))


def _row(entry: Mapping[str, str], table: Path, splits: Splits, frontal: bool) -> ImageRow:
    parts = PurePosixPath(entry["Path"]).parts
    try:
        # The first folder of the path is the data set's own, under whatever name it was unpacked.
        person, study, name = parts[-3:]
        order = float(study.removeprefix("study"))
        age = float(entry["Age"] or 0)
        labels = [label for label, value in _labels(entry) if value and float(value) == _PRESENT]
    except ValueError as error:
        raise ManifestInvalid(f"{table}: {entry['Path']!r} is no path or row of CheXpert.") from error
    patient = f"{_NAME}:{person.removeprefix('patient')}"
    return ImageRow(
        path=table.parent.joinpath(*parts[-4:]),
        file="/".join((*parts[-4:-1], name)),
        dataset=_NAME,
        patient=patient,
        split=splits.of(patient),
        finding="|".join(labels),
        view=entry["AP/PA"] if frontal else LATERAL,
        sex=_SEX.get(entry["Sex"], ""),
        age=age or None,
        day=order,
    )


def _labels(entry: Mapping[str, str]) -> list[tuple[str, str]]:
    names = list(entry)
    return [(name, entry[name]) for name in names[names.index(_FIRST_LABEL) :]]
