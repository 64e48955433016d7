"""`lungprint evaluate`: how well a network recognises persons in images with known patients."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from cli.outcome import EXIT_CODES, InputNotUsable
from cli.output import console

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEEDED = ("imagehash", "matplotlib")


@click.command(epilog=EXIT_CODES)
@click.option("--data", "manifest", type=_FILE, required=True, help="CSV that lists the images and their patients.")
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the report."
)
@click.option("--weights", default="default", show_default=True, help="Name of shipped weights, or a weight file.")
@click.option(
    "--split",
    type=click.Choice(["test", "val", "train"]),
    default="test",
    show_default=True,
    help="Whose images to compare; only `test` patients were never looked at in training.",
)
@click.option(
    "--doubtful", is_flag=True, help="Also compare patients of public sets whose number cannot be taken for one person."
)
@click.option("--frozen", type=_FILE, help="ImageNet weights of mobilenet_v2 (safetensors), to compare with.")
@click.option("--against", multiple=True, help="More weights for the same table, name or file; may be repeated.")
@click.option("--pairs", type=_FILE, help="CSV of pairs (file_a, file_b, same) to report on as well.")
@click.option("--shortcuts", is_flag=True, help="Also test whether letters, borders or contrast give persons away.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps prepared images and codes for the next run; without it nothing is kept.",
)
@click.option(
    "--images",
    type=click.IntRange(10),
    default=4000,
    show_default=True,
    help="If there are more, compare so many, whole patients at random.",
)
@click.option(
    "--rounds", type=click.IntRange(20), default=300, show_default=True, help="Draws of patients for each interval."
)
def command(
    manifest: Path,
    output: Path,
    weights: str,
    split: str,
    doubtful: bool,
    frozen: Path | None,
    against: tuple[str, ...],
    pairs: Path | None,
    shortcuts: bool,
    cache: Path | None,
    images: int,
    rounds: int,
) -> None:
    """Measure on images of known patients how well persons are recognised, and write a report.

    The manifest is a CSV with a row for each image and the columns `file` (JPEG or PNG, relative to the manifest's
    folder), `dataset`, `patient`, `split`, `finding` and `view`; `sex`, `age` and `day` are used where they are there.
    Images with the view `L` (lateral) are shown to the gate only.

    Each dataset is reported on, and all together as one gallery: same person or not (AUC, true positive rates, EER),
    search (P@1, hit@k, mAP@R), images under the wrong patient that are found, search by findings, calibration. Two
    persons are only compared within one dataset and view, every patient has one vote, and intervals are over patients.
    Plain pixels, pHash and, with --frozen, an ImageNet network stand in the same table.

    \b
    The folder then holds
      report.md             tables and pictures, and what would make the figures wrong in a hospital
      recognition.csv       one row for each dataset and method
      recognition.json      everything, with versions and machine
      roc.png hits.png histograms.png reliability.png worst.png
      worst_pairs.csv       which rows of the manifest the worst errors are
    and with --shortcuts
      recognition-shortcuts.csv, shortcuts.png

    The pictures show images of the manifest: keep the folder as safe as these. A few thousand images take minutes; with
    --cache, a second run needs to encode nothing.

    \b
    Examples:
      lungprint evaluate --data xrays/manifest.csv -o report
      lungprint evaluate --data xrays/manifest.csv --shortcuts --cache prepared -o report
      lungprint evaluate --data xrays/manifest.csv --weights mine.safetensors --against default -o report
      lungprint evaluate --data nih/manifest.csv --pairs published_pairs.csv -o report
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise InputNotUsable(
            f"Evaluation needs {' and '.join(missing)}: install them with pip install 'lungprint[train]'."
        )
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from retrieval.data.manifest import Split
    from retrieval.evaluation.output import write_all
    from retrieval.evaluation.report import show
    from retrieval.evaluation.run import Task, run

    try:
        output.mkdir(parents=True, exist_ok=True)
        with _kept(cache) as folder:
            evaluation = run(
                Task(
                    manifest=manifest,
                    cache=folder,
                    weights=weights,
                    against=against,
                    split=Split(split),
                    doubtful=doubtful,
                    frozen=frozen,
                    pairs=pairs,
                    shortcuts=shortcuts,
                    images=images,
                    rounds=rounds,
                )
            )
            report = write_all(evaluation, output)
    except OSError as error:
        raise InputNotUsable(f"{error.filename or output} cannot be written: {error.strerror}.") from error
    show(evaluation.report, console())
    click.echo(f"Report: {report}")


@contextmanager
def _kept(cache: Path | None) -> Iterator[Path]:
    """The folder for prepared images, or one that is gone afterwards."""
    if cache is not None:
        yield cache
    else:
        with tempfile.TemporaryDirectory(prefix="lungprint-evaluate-") as folder:
            yield Path(folder)
