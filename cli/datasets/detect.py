"""Which kind of source a path is: told by the files and columns that are there."""

from __future__ import annotations

import csv
from enum import StrEnum
from pathlib import Path

from cli.outcome import InputNotUsable
from cli.sources import is_dicom
from dicom_node.backfill import dicom_files
from retrieval.data import chexpert, listing, nih

MANIFEST = "manifest.csv"


class Kind(StrEnum):
    """Kinds of sources."""

    MANIFEST = "manifest"
    NIH = "nih"
    CHEXPERT = "chexpert"
    DICOM = "dicom"


_COLUMNS = {Kind.NIH: nih.COLUMNS, Kind.CHEXPERT: chexpert.COLUMNS, Kind.MANIFEST: listing.COLUMNS}
_TABLES = {Kind.MANIFEST: (MANIFEST,), Kind.NIH: nih.TABLES, Kind.CHEXPERT: chexpert.TABLES}


def detect(source: Path, kind: Kind | None = None) -> tuple[Kind, tuple[Path, ...]]:
    """The kind of a source, and its tables; for DICOM files, the folder itself.

    Args:
        source: a CSV table or a folder. kind: what it must be; by default what it is found to be.

    Raises:
        InputNotUsable: it is nothing that is known, or several things and `kind` does not say which.
    """
    found = _of_table(source) if source.is_file() else _of_folder(source)
    if kind is not None:
        found = {one: tables for one, tables in found.items() if one is kind}
    if not found and kind in (None, Kind.DICOM) and source.is_dir() and any(map(is_dicom, dicom_files([source]))):
        found = {Kind.DICOM: (source,)}
    if len(found) > 1:
        raise InputNotUsable(f"{source} holds several sources ({', '.join(found)}); choose one with --kind.")
    if not found:
        wanted = f"no source of kind {kind}" if kind else "no source of images"
        raise InputNotUsable(
            f"{source} is {wanted}: a manifest.csv with the columns file and patient, the tables of ChestX-ray14 or "
            "CheXpert, or a folder of DICOM files is needed."
        )
    return next(iter(found.items()))


def _of_table(table: Path) -> dict[Kind, tuple[Path, ...]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            columns = set(next(csv.reader(stream), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    return {kind: (table,) for kind, needed in _COLUMNS.items() if columns.issuperset(needed)}


def _of_folder(folder: Path) -> dict[Kind, tuple[Path, ...]]:
    found: dict[Kind, tuple[Path, ...]] = {}
    for kind, names in _TABLES.items():
        tables = [folder / name for name in names if kind in _of_table(folder / name)]
        if tables:
            # The two editions of the NIH's table list the same images, the tables of CheXpert different ones.
            found[kind] = tuple(tables[-1:] if kind is Kind.NIH else tables)
    return found
