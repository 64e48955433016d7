"""`lungprint calibrate`: from similarities to probabilities, fitted on known patients and reported on others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from cli.outcome import EXIT_CODES, InputNotUsable
from cli.output import console, print_json
from cli.system import data_dir_option, json_option, opened

if TYPE_CHECKING:
    from retrieval.calibration import Calibration
    from retrieval.evaluation.encodings import Encoded
    from retrieval.training.calibration_report import HeldOut

# Pairs grow with the square of the images.
MOST_IMAGES = 3000
SITE_FILE = "calibration.json"


@click.command(epilog=EXIT_CODES)
@click.option(
    "--data",
    "manifest",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Manifest CSV of images of known patients.",
)
@click.option("--from-archive", is_flag=True, help="Fit on the system in --data-dir: Patient IDs are the labels.")
@data_dir_option
@click.option("--weights", help="Name of shipped weights, or a weight file; default: `default`, or the system's own.")
@click.option(
    "--split",
    type=click.Choice(["val", "test"]),
    default="val",
    show_default=True,
    help="Whose images to fit on; never those that the network learned from.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"File to write; default: beside the weights, or DATA_DIR/{SITE_FILE} with --from-archive.",
)
@click.option(
    "--report", type=click.Path(file_okay=False, path_type=Path), help="Folder for reliability.png and tail.png."
)
@click.option(
    "--cache", type=click.Path(file_okay=False, path_type=Path), help="Folder that keeps prepared images and codes."
)
@json_option
def command(
    manifest: Path | None,
    from_archive: bool,
    data_dir: Path,
    weights: str | None,
    split: str,
    output: Path | None,
    report: Path | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Fit what a similarity is worth: the probability that two images show one person.

    The fit needs patients that the network has not learned from: the split `val` of a manifest, or with --from-archive
    the site's own images, once enough patients have several (option calibration.min_patients). Patients never cross:
    the figures that are printed come from patients left out of the fit in turn.

    \b
    Written are the calibration file and, with --report,
      reliability.png   does a probability of 80 % mean 80 %?
      tail.png          are strangers as seldom so alike as is said, beyond what was counted?

    A calibration of the archive is used when the option calibration.file names it and the system is started anew.

    \b
    Examples:
      lungprint calibrate --data xrays/manifest.csv --report calibration
      lungprint calibrate --data xrays/manifest.csv --weights mine.safetensors
      lungprint calibrate --from-archive --data-dir /srv/lungprint
    """
    if (manifest is None) == (not from_archive):
        raise click.UsageError("Name images with --data, or the system's own with --from-archive.")
    # Here, not above: torch and scikit-learn take seconds to import, and `--help` should not.
    from retrieval.calibration import calibration_beside
    from retrieval.training.calibration_report import draw, with_figures
    from retrieval.weights.card import find_weights, model_id_of, read_card

    if manifest is not None:
        path = find_weights(weights or "default")
        encoded, shares = _of_manifest(manifest, split, path, cache)
        target = output or calibration_beside(path)
    else:
        path, encoded, shares = _of_archive(data_dir, weights)
        target = output or data_dir / SITE_FILE
    card = read_card(path)
    calibration, judged = _fitted(path, encoded, shares, model_id_of(path), card.dim, card.bits // 2)
    calibration = with_figures(calibration, judged)
    try:
        calibration.save(target)
        pictures = draw(judged, report) if report is not None else ()
    except OSError as error:
        raise InputNotUsable(f"{error.filename or target} cannot be written: {error.strerror}.") from error
    if as_json:
        print_json({"file": str(target), "pictures": [str(one) for one in pictures], **calibration.held_out})
        return
    _show(calibration, judged)
    click.echo(f"Calibration: {target}")
    for picture in pictures:
        click.echo(f"Picture: {picture}")
    if from_archive:
        click.echo(f'To use it, set [calibration] file = "{target}" in the option file and start the system anew.')


def _fitted(
    weights: Path, encoded: dict[str, Encoded], shares: dict[str, float], model_id: str, dim: int, bits: int
) -> tuple[Calibration, dict[str, HeldOut]]:
    from retrieval.evaluation.encodings import pairs_by_kind
    from retrieval.training.calibrate import fit_calibration
    from retrieval.training.calibration_report import held_out
    from retrieval.verification import read_verifier

    pairs, population = pairs_by_kind(encoded, read_verifier(weights, dim))
    judged = held_out(pairs, shares, bits, population)
    return fit_calibration(pairs, shares, model_id, bits, population), judged


def _of_manifest(
    manifest: Path, split: str, weights: Path, cache: Path | None
) -> tuple[dict[str, Encoded], dict[str, float]]:
    """Suitable frontal images of one split, by kind of patient."""
    import tempfile

    from retrieval.data.cache import prepared_images
    from retrieval.data.manifest import read_manifest
    from retrieval.data.source import LATERAL
    from retrieval.data.trusted import trusted
    from retrieval.encoder import Encoder
    from retrieval.evaluation.encodings import codes_of
    from retrieval.training.kinds import SHARES, by_kind

    everybody = trusted(read_manifest(manifest))
    rows = [row for row in everybody if row.split.value == split and row.view != LATERAL]
    if not rows:
        raise InputNotUsable(f"{manifest} has no frontal image in its split {split!r}.")
    with tempfile.TemporaryDirectory(prefix="lungprint-calibrate-") as scratch:
        folder = cache or Path(scratch)
        encoder = Encoder.load(str(weights))
        codes = codes_of(encoder, prepared_images(rows, folder), f"{split} patients", folder)
    suitable = codes.suitable.nonzero()[0].tolist()
    found = by_kind([rows[i] for i in suitable], codes.chosen(suitable))
    return found, {kind: share for kind, share in SHARES.items() if kind in found}


def _of_archive(data_dir: Path, weights: str | None) -> tuple[Path, dict[str, Encoded], dict[str, float]]:
    """The archive's images by kind of patient, each kind with its share of the patients."""
    import numpy as np

    from archive.calibration_images import labelled_codes
    from retrieval.data.manifest import ImageRow, Split
    from retrieval.evaluation.encodings import Codes
    from retrieval.training.kinds import by_kind
    from retrieval.weights.card import find_weights, model_id_of

    with opened(data_dir) as system:
        path = find_weights(weights or system.settings.encoder.weights)
        with system.database.read() as session:
            images = labelled_codes(session, model_id_of(path), MOST_IMAGES)
        needed = system.settings.calibration.min_patients
    if images.with_priors < needed:
        raise InputNotUsable(
            f"The archive has {images.with_priors} patients with an earlier image whose labels may be believed, and a "
            f"calibration needs {needed} (option calibration.min_patients). Keep the one in use until there are more."
        )
    rows = [
        ImageRow(Path(), "", "archive", str(person), Split.VAL, "", view, age=age)
        for person, view, age in zip(images.person.tolist(), images.view, images.age, strict=True)
    ]
    found = by_kind(rows, Codes(images.embedding, images.code, np.ones(len(rows), np.bool_)))
    patients = {kind: len({row.patient for row in mine}) for kind, (mine, _) in found.items()}
    return path, found, {kind: count / sum(patients.values()) for kind, count in patients.items()}


def _show(calibration: Calibration, judged: dict[str, HeldOut]) -> None:
    from retrieval.training.calibration_report import LEVELS

    tails = [f"strangers {level:g}" for level in LEVELS]
    table = Table("patients", "pairs", "of one person", "calibration error", "Brier", "log loss", *tails, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, found in judged.items():
        figures = found.figures()
        shown = [f"{figures[name]:.3f}" for name in ("expected_calibration_error", "brier", "log_loss")]
        counts = [figures.get(f"tail_{level:g}") for level in LEVELS]
        multiples = ["too few" if count is None else f"{count:.2f} x" for count in counts]
        table.add_row(kind, f"{len(found.same):,}", f"{int(found.same.sum()):,}", *shown, *multiples)
    out = console()
    out.print(f"Fitted: {calibration.method} curve. On patients that were left out of the fit in turn, at even odds:")
    out.print(table)
    out.print("strangers: pairs of two persons found at least so alike, as a multiple of the share that was said.")
