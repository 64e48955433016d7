"""`lungprint match`: pairs of images of one person in two collections."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.matching.collection import Refused
from cli.matching.sheet import write_sheet
from cli.outcome import EXIT_CODES, ExitCode, InputNotUsable
from cli.output import print_json
from cli.system import data_dir_option, json_option
from config.paths import data_dir as folder_at
from config.settings import load_settings
from dicom_node.pixels import Limits

if TYPE_CHECKING:
    from cli.matching.matching import Matched

_IMAGES = click.Path(exists=True, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
# Refused images shown one by one; the rest is counted.
MOST_SHOWN = 20


@click.command(epilog=EXIT_CODES)
@click.argument("a", type=_IMAGES)
@click.argument("b", type=_IMAGES)
@click.option("-o", "--output", type=_FILE, required=True, help="CSV of the pairs.")
@click.option("--threshold", type=click.FloatRange(-1.0, 1.0), help="Least cosine; by default from --false-pairs.")
@click.option(
    "--false-pairs",
    type=click.FloatRange(min=0.0, min_open=True),
    default=1.0,
    show_default=True,
    help="Without --threshold: false pairs to be expected among all pairs.",
)
@click.option("--top", type=click.IntRange(1), help="Only so many most probable partners for each image of A.")
@click.option("--refused", type=_FILE, help="CSV of the images that take no part, and why.")
@click.option("--sheet", type=_FILE, help="HTML page that shows the best pairs side by side.")
@click.option("--sheet-pairs", type=click.IntRange(1, 500), default=50, show_default=True, help="Pairs on the page.")
@data_dir_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    a: Path,
    b: Path,
    output: Path,
    threshold: float | None,
    false_pairs: float,
    top: int | None,
    refused: Path | None,
    sheet: Path | None,
    sheet_pairs: int,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Find the pairs of an image of A and an image of B that show one person.

    A and B are images, folders of DICOM, JPEG or PNG files, or manifests with a column `file`. Images that are no
    frontal chest images, or that carry too little information, take no part. If A and B are the same, each pair is
    reported once and no image with itself.

    No cosine means the same for every network, so by default the threshold comes from the calibration: as high as
    needed for --false-pairs false pairs among all pairs compared. The CSV has a row for each pair, the most probable
    first:

    \b
      a, b             names of the images
      cosine           of the embeddings, in [-1, 1]
      differing_bits   Hamming distance of the identity halves of the codes
      probability      that both show one person, if one pair in two does
      false_pairs      false pairs to be expected at most among all pairs from this probability on
      righting_a, _b   what was done to an image that is stored turned or inverted before it was compared

    No running system is needed; the option encoder.weights of the system in --data-dir selects the network.

    \b
    Examples:
      lungprint match ward/ archive/manifest.csv -o pairs.csv --sheet pairs.html
      lungprint match xrays/ xrays/ -o duplicates.csv --top 3
      lungprint match a/ b/ -o pairs.csv --threshold 0.9
    """
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from cli.matching.matching import match

    settings = load_settings(folder_at(data_dir).root)
    found = match(a, b, threshold, false_pairs, top, settings)
    try:
        _write_pairs(found, output)
        if refused is not None:
            _write_refused(found.refused, refused)
        if sheet is not None:
            write_sheet(found.listed()[:sheet_pairs], Limits(max_pixels=settings.decoding.max_pixels), sheet)
    except OSError as error:
        raise InputNotUsable(f"{error.filename or output} cannot be written: {error.strerror}.") from error
    if as_json:
        print_json(_summary(found, output))
    else:
        _tell(found, output)
    ctx.exit(ExitCode.OK if len(found.matches) and not found.refused else ExitCode.NOTHING)


def _write_pairs(found: Matched, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            ("a", "b", "cosine", "differing_bits", "probability", "false_pairs", "righting_a", "righting_b")
        )
        for pair in found.listed():
            writer.writerow(
                (
                    pair.first.name,
                    pair.second.name,
                    f"{pair.cosine:.4f}",
                    pair.hamming,
                    f"{pair.probability:.6f}",
                    f"{pair.false_pairs:.3g}",
                    *pair.righting,
                )
            )


def _write_refused(refused: Sequence[Refused], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("file", "reason"))
        writer.writerows((one.name, one.reason) for one in refused)


def _summary(found: Matched, output: Path) -> dict[str, Any]:
    return {
        "output": str(output),
        "images_a": len(found.first),
        "images_b": len(found.second),
        "refused": len(found.refused),
        "pairs_compared": found.pairs,
        "pairs_found": len(found.matches),
        "least_cosine": found.threshold.cosine,
        "least_probability": found.threshold.probability,
        "false_pairs_expected": found.threshold.false_pairs,
    }


def _tell(found: Matched, output: Path) -> None:
    for one in found.refused[:MOST_SHOWN]:
        click.echo(f"left out: {one.name}: {one.reason}", err=True)
    if len(found.refused) > MOST_SHOWN:
        click.echo(f"left out: {len(found.refused) - MOST_SHOWN} more; --refused FILE writes them all.", err=True)
    asked = found.threshold
    if asked.false_pairs is None:
        what = f"with a cosine of {asked.cosine:g} or more"
    else:
        what = (
            f"with a probability of {asked.probability:.4%} or more, where up to {asked.false_pairs:.2g} false pairs "
            "are to be expected"
        )
    click.echo(
        f"{len(found.first):,} images of A, {len(found.second):,} of B, {found.pairs:,} pairs: "
        f"{len(found.matches):,} {what}. {output}"
    )
