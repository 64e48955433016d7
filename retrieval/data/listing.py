"""A CSV of one's own that lists images and patients, complete as a manifest or not."""

from __future__ import annotations

from pathlib import Path

from retrieval.data.manifest import ImageRow, check_splits, parse_row
from retrieval.data.source import Found, read_table
from retrieval.data.splits import Splits
from retrieval.errors import ManifestInvalid

COLUMNS = ("file", "patient")


def read_listing(table: Path, splits: Splits, dataset: str) -> Found:
    """Read a manifest, or a table with at least the columns `file` and `patient`.

    Splits that the table names are kept; where it names none, patients are dealt. Other columns of a manifest are read
    if they are there.

    Args:
        table: the CSV; files are relative to its folder.
        splits: deals the patients of a table without splits.
        dataset: for rows that name none.

    Raises:
        ManifestInvalid: it cannot be read, lacks a column or value, names an image twice or a split for some rows only,
            or has a patient in two splits.
    """
    entries = list(read_table(table, COLUMNS))
    blank = dict.fromkeys(("split", "dataset", "finding", "view"), "")
    rows: list[ImageRow] = []
    seen: set[str] = set()
    named = {bool(entry.get("split")) for entry in entries}
    if named == {True, False}:
        raise ManifestInvalid(f"{table} names a split for some images only; name it for all of them or for none.")
    for entry in entries:
        if not entry["file"] or not entry["patient"]:
            raise ManifestInvalid(f"{table} needs a file and a patient in every row.")
        if entry["file"] in seen:
            raise ManifestInvalid(f"{table} names {entry['file']} twice.")
        seen.add(entry["file"])
        full = {**blank, **entry}
        full["split"] = full["split"] or splits.of(entry["patient"]).value
        full["dataset"] = full["dataset"] or dataset
        rows.append(parse_row(table, full))
    check_splits(rows)
    return Found(tuple(rows))
