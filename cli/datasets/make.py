"""`lungprint dataset make`: turn any source of images into a manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click

from cli.datasets.detect import MANIFEST, Kind, detect
from cli.datasets.export import export_all, orders_in_archive, orders_in_folder
from cli.datasets.pseudonyms import Pseudonyms
from cli.datasets.radiographs import Exporter, Order, written_before
from cli.datasets.summary import show, summary, write_left_out
from cli.outcome import EXIT_CODES, ExitCode, InputNotUsable
from cli.output import print_json
from cli.system import data_dir_option, json_option, opened
from config.paths import data_dir as folder_at
from config.settings import load_settings
from dicom_node.pixels import Limits
from retrieval.data.chexpert import read_chexpert
from retrieval.data.listing import read_listing
from retrieval.data.manifest import write_manifest
from retrieval.data.nih import read_nih
from retrieval.data.source import Found, LeftOut
from retrieval.data.splits import Splits
from retrieval.data.usable import usable

IMAGES = "images"


@dataclass(frozen=True)
class Wanted:
    """What the options ask for, see `make`."""

    folder: Path
    splits: Splits
    name: str
    lateral: bool
    side: int
    key: Path | None
    data_dir: Path


@click.command(epilog=EXIT_CODES)
@click.argument("source", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for manifest.csv, and for the images where they are made from DICOM files.",
)
@click.option("--from-archive", is_flag=True, help="Take the images of the system in --data-dir instead of SOURCE.")
@click.option(
    "--kind",
    type=click.Choice([str(kind) for kind in Kind]),
    help="What SOURCE is; by default what it is found to be.",
)
@click.option(
    "--split",
    "shares",
    default="70/10/20",
    show_default=True,
    metavar="TRAIN/VAL/TEST",
    help="Shares of the patients; splits that a manifest names already are kept.",
)
@click.option("--seed", default=0, show_default=True, help="Another seed deals the same patients otherwise.")
@click.option("--name", default="site", show_default=True, help="Name of the data set where SOURCE has none.")
@click.option("--lateral", is_flag=True, help="Take lateral views too, as view L; training uses frontal ones.")
@click.option(
    "--side",
    type=click.IntRange(min=320),
    default=1024,
    show_default=True,
    help="Longest side in pixels of images made from DICOM files.",
)
@click.option(
    "--key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the key of the pseudonyms in this file; without it nobody can lead them back, and no run go on.",
)
@click.option(
    "--left-out",
    "list_to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write here which images were left out and why; file names may hold names of patients.",
)
@click.option("--overwrite", is_flag=True, help="Replace a manifest.csv that is in the output folder.")
@data_dir_option
@json_option
@click.pass_context
def make(
    ctx: click.Context,
    /,
    source: Path | None,
    folder: Path,
    from_archive: bool,
    kind: str | None,
    shares: str,
    seed: int,
    name: str,
    lateral: bool,
    side: int,
    key: Path | None,
    list_to: Path | None,
    overwrite: bool,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Turn SOURCE into a manifest: a CSV with one row an image, and every patient in one split only.

    \b
    SOURCE is one of
      a CSV     with the columns file and patient, and as many of a manifest's as there are: dataset, split,
                finding, view, sex, age, day. Also a folder with a manifest.csv.
      nih       the folder of ChestX-ray14: Data_Entry_2017.csv and the folders of images
      chexpert  the folder of CheXpert: train.csv, valid.csv and what they name
      dicom     a folder of DICOM files, at any depth; Patient ID and issuer tell the patients

    Images that are broken, blank, or filed under two patients are left out and counted. DICOM files are decoded to PNG
    in the output folder; neither their names nor the manifest tell whom they show, but the pictures themselves are
    patient data. With --from-archive, images whose Patient ID is in doubt are left out too.

    The split of a patient depends on its name, the shares and the seed alone: patients who are added later move nobody.

    \b
    Examples:
      lungprint dataset make chestxray14/ -o sets/nih
      lungprint dataset make export/ -o sets/ward --key ward.key
      lungprint dataset make --from-archive -o sets/site --data-dir /var/lib/lungprint
    """
    if from_archive == (source is not None):
        raise InputNotUsable("Name a SOURCE, or ask for the archive with --from-archive; one of both.")
    manifest = folder / MANIFEST
    if manifest.exists() and not overwrite:
        raise InputNotUsable(f"{manifest} exists; name another folder, or replace it with --overwrite.")
    wanted = Wanted(folder, Splits.parse(shares, seed), name, lateral, side, key, data_dir)
    try:
        found = _from_archive(wanted) if source is None else _from_source(source, kind, wanted)
    except OSError as error:
        raise InputNotUsable(f"{error.filename or folder} cannot be read or written: {error.strerror}.") from error
    if list_to is not None:
        write_left_out(list_to, found.left_out)
    if not found.rows:
        raise InputNotUsable("No image could be used. " + _commonest(found.left_out))
    write_manifest(manifest, found.rows)
    made = summary(found, manifest)
    if as_json:
        print_json(made)
    else:
        show(made)
    ctx.exit(ExitCode.NOTHING if made["broken"] else ExitCode.OK)


def _from_source(source: Path, kind: str | None, wanted: Wanted) -> Found:
    detected, tables = detect(source, None if kind is None else Kind(kind))
    if detected is Kind.DICOM:
        limits = Limits(max_pixels=load_settings(folder_at(wanted.data_dir).root).decoding.max_pixels)
        return _exported(orders_in_folder(source), wanted, limits)
    if any(table.resolve() == (wanted.folder / MANIFEST).resolve() for table in tables):
        raise InputNotUsable("The output folder is that of the source, whose manifest would be lost; name another one.")
    if detected is Kind.NIH:
        return usable(read_nih(tables[0], wanted.splits))
    if detected is Kind.CHEXPERT:
        return usable(read_chexpert(tables, wanted.splits, wanted.lateral))
    return usable(read_listing(tables[0], wanted.splits, wanted.name))


def _from_archive(wanted: Wanted) -> Found:
    with opened(wanted.data_dir) as system:
        orders, left_out = orders_in_archive(system.database, system.folder)
        found = _exported(orders, wanted, Limits(max_pixels=system.settings.decoding.max_pixels))
    return replace(found, left_out=(*left_out, *found.left_out))


def _exported(orders: list[Order], wanted: Wanted, limits: Limits) -> Found:
    images = wanted.folder / IMAGES
    if wanted.key is None:
        if images.exists() and any(images.iterdir()):
            raise InputNotUsable(
                f"{images} holds images of an earlier run; delete it, or give --key with the key of that run."
            )
        pseudonyms = Pseudonyms.fresh()
    else:
        if wanted.key.resolve().is_relative_to(wanted.folder.resolve()):
            raise InputNotUsable("Keep the key apart from the images: name a file outside of the output folder.")
        pseudonyms = Pseudonyms.kept(wanted.key)
    images.mkdir(mode=0o700, parents=True, exist_ok=True)
    exporter = Exporter(images, pseudonyms, limits, wanted.side, wanted.lateral, written_before(images))
    return export_all(orders, exporter, wanted.splits, wanted.name)


def _commonest(left_out: tuple[LeftOut, ...]) -> str:
    if not left_out:
        return "The source names none."
    reasons = [one.reason for one in left_out]
    return f"The commonest reason: {max(reasons, key=reasons.count)}."
