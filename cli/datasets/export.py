"""Many DICOM radiographs made training images, and those left out whose labels contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from archive.database import Database
from archive.files import ImageFiles
from archive.labels import Doubt, labelled_images
from cli.datasets.radiographs import Exported, Exporter, Order
from cli.output import progress_bar
from cli.sources import is_dicom
from config.paths import DataDir
from dicom_node.backfill import dicom_files
from dicom_node.discretion import keep_values_private
from retrieval.data.manifest import ImageRow
from retrieval.data.parallel import parallel_map
from retrieval.data.source import Found, LeftOut
from retrieval.data.splits import Splits
from retrieval.data.usable import without_repetitions

SAME_UID = "the same SOP Instance UID as an earlier image of the patient"


def orders_in_folder(folder: Path) -> list[Order]:
    """All DICOM files (PS3.10) below a folder; other files and hidden ones are passed over."""
    return [Order(path, str(path)) for path in dicom_files([folder]) if is_dicom(path)]


def orders_in_archive(database: Database, folder: DataDir) -> tuple[list[Order], list[LeftOut]]:
    """The images of a system whose Patient ID may be believed, and those left out, named by their numbers.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    files = ImageFiles(folder)
    orders: list[Order] = []
    left_out: list[LeftOut] = []
    with database.read() as session:
        for image in labelled_images(session):
            name = f"image {image.instance_id}"
            if image.doubt is None:
                orders.append(Order(files.path(image.file_digest), name, image.label))
            else:
                left_out.append(LeftOut(name, image.doubt.value))
    return orders, left_out


def export_all(orders: Sequence[Order], exporter: Exporter, splits: Splits, dataset: str) -> Found:
    """Export files, with a progress bar; what contradicts itself or repeats itself is left out and its PNG removed.

    Args:
        splits: deals the patients, by their pseudonyms. dataset: the name in the manifest.

    Raises:
        OSError: a PNG cannot be written, or a file not read for want of permission.
    """
    keep_values_private()
    exported: list[Exported] = []
    left_out: list[LeftOut] = []
    with closing(parallel_map(exporter.export, orders)) as outcomes, progress_bar() as bar:
        for outcome in bar.track(outcomes, len(orders), description="decoding"):
            if isinstance(outcome, Exported):
                exported.append(outcome)
            else:
                left_out.append(outcome)
    agreeing, contradicting = _without_contradictions(exported)
    rows, repeated = without_repetitions(_rows(agreeing, splits, dataset), [image.pixels for image in agreeing])
    kept = {row.path for row in rows}
    for image in exported:
        if image.path not in kept:
            image.path.unlink(missing_ok=True)
    return Found(rows, (*left_out, *contradicting, *repeated))


def _without_contradictions(images: Sequence[Exported]) -> tuple[list[Exported], list[LeftOut]]:
    """Leave out studies and images that came under two Patient IDs, and second images of one SOP Instance UID."""
    owners: dict[str, set[str]] = {}
    for image in images:
        owners.setdefault(image.study, set()).add(image.patient)
        owners.setdefault(image.instance, set()).add(image.patient)
    kept: dict[str, Exported] = {}
    left_out: list[LeftOut] = []
    for image in images:
        if len(owners[image.instance]) > 1:
            left_out.append(LeftOut(image.name, Doubt.TWO_IDS_FOR_UID.value))
        elif len(owners[image.study]) > 1:
            left_out.append(LeftOut(image.name, Doubt.TWO_IDS_IN_STUDY.value))
        elif kept.setdefault(image.instance, image) is not image:
            left_out.append(LeftOut(image.name, SAME_UID))
    return list(kept.values()), left_out


def _rows(images: Sequence[Exported], splits: Splits, dataset: str) -> list[ImageRow]:
    first: dict[str, datetime] = {}
    for image in images:
        if image.taken is not None:
            first[image.patient] = min(image.taken, first.get(image.patient, image.taken))
    rows = []
    for image in images:
        patient = f"{dataset}:{image.patient}"
        day = None if image.taken is None else float((image.taken - first[image.patient]).days)
        rows.append(
            ImageRow(
                path=image.path,
                file=image.name,
                dataset=dataset,
                patient=patient,
                split=splits.of(patient),
                finding="",
                view=image.view,
                sex=image.sex,
                age=image.age,
                day=day,
            )
        )
    return rows
