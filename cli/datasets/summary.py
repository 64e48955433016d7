"""What was made of a source: patients and images in each split, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from cli.outcome import InputNotUsable
from cli.output import console
from retrieval.data.manifest import ImageRow, Split
from retrieval.data.source import Found, LeftOut


def summary(found: Found, manifest: Path) -> dict[str, Any]:
    """The object that `lungprint dataset make --json` prints; it names no image and no patient."""
    reasons = Counter(one.reason for one in found.left_out)
    return {
        "manifest": str(manifest),
        "images": len(found.rows),
        "splits": {split.value: _counts([row for row in found.rows if row.split is split]) for split in Split},
        "left_out": len(found.left_out),
        "broken": sum(one.broken for one in found.left_out),
        "reasons": dict(reasons.most_common()),
    }


def show(made: dict[str, Any]) -> None:
    """Print a summary for people."""
    table = Table("split", "patients", "with 2 or more images", "images", box=None, pad_edge=False)
    for split, counts in made["splits"].items():
        table.add_row(split, str(counts["patients"]), str(counts["repeated"]), str(counts["images"]))
    console().print(table)
    if made["left_out"]:
        click.echo(f"Left out: {made['left_out']} images")
        for reason, count in made["reasons"].items():
            click.echo(f"  {count:>7}  {reason}")
    click.echo(f"Manifest: {made['manifest']}")


def write_left_out(path: Path, left_out: Sequence[LeftOut]) -> None:
    """Write what was left out, one line an image: reason, tab, name in the source.

    Raises:
        InputNotUsable: the file cannot be written.
    """
    try:
        path.write_text("".join(f"{one.reason}\t{one.name}\n" for one in left_out), encoding="utf-8")
    except OSError as error:
        raise InputNotUsable(f"{path} cannot be written: {error.strerror}.") from error


def _counts(rows: Sequence[ImageRow]) -> dict[str, int]:
    images = Counter(row.patient for row in rows)
    return {"patients": len(images), "repeated": sum(n > 1 for n in images.values()), "images": len(rows)}
