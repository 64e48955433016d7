"""What reading a source of images yields, and how its tables are read."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from retrieval.data.manifest import ImageRow
from retrieval.errors import ManifestInvalid

LATERAL = "L"


@dataclass(frozen=True)
class LeftOut:
    """An image that does not go into the manifest: its name in the source, and why.

    Attributes:
        broken: it should have gone in but cannot be read, and is not left out by a rule.
    """

    name: str
    reason: str
    broken: bool = False


@dataclass(frozen=True)
class Found:
    """The images of a source, dealt to splits, and those left out."""

    rows: tuple[ImageRow, ...]
    left_out: tuple[LeftOut, ...] = ()


def read_table(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Read a CSV with a heading row by row; cells are stripped, missing ones empty.

    Args:
        columns: those it must have.

    Raises:
        ManifestInvalid: it cannot be read, or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise ManifestInvalid(f"{path} lacks the column {missing[0]!r}.")
            for entry in reader:
                yield {key: (value or "").strip() for key, value in entry.items() if key is not None}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestInvalid(f"{path} cannot be read as a CSV table: {error}.") from error
