"""`lungprint similar`: images of the gallery that look like a given one."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click
import pydicom
from celery.exceptions import TimeoutError as NoAnswer
from kombu.exceptions import OperationalError
from pydicom.errors import InvalidDicomError
from redis.exceptions import RedisError
from rich.markup import escape
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from archive.case_filter import CaseFilter
from archive.gallery import PERSON
from archive.models import Instance, Patient
from cli.encoding import encode_file, load_encoder
from cli.outcome import EXIT_CODES, ExitCode, InputNotUsable
from cli.output import console, print_json
from cli.sources import Source, is_dicom
from cli.system import System, data_dir_option, json_option, opened, running
from config.broker import Task, celery_app

ANSWER_SECONDS = 30.0


@click.command(epilog=EXIT_CODES)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-k", "k", type=click.IntRange(1, 500), default=10, show_default=True, help="How many to show.")
@click.option(
    "--page", type=click.IntRange(1), default=1, show_default=True, help="Which k of them, from the most alike."
)
@click.option(
    "--by",
    type=click.Choice(["findings", "person"]),
    default="findings",
    show_default=True,
    help="Alike in what the image shows, or in whom it shows.",
)
@click.option(
    "--other-patients", is_flag=True, help="Leave out images of the patient whose Patient ID the header of FILE holds."
)
@click.option("--since", metavar="YYYY-MM-DD", help="Only studies of this day or later.")
@click.option("--until", metavar="YYYY-MM-DD", help="Only studies of this day or earlier.")
@click.option("--sex", help="Only patients of this sex: F, M or O.")
@click.option("--age-from", metavar="YEARS", help="Only patients at least so old at the study.")
@click.option("--age-to", metavar="YEARS", help="Only patients at most so old at the study.")
@data_dir_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    k: int,
    page: int,
    by: str,
    other_patients: bool,
    data_dir: Path,
    as_json: bool,
    **narrowed: str | None,
) -> None:
    """Find the images of the system's gallery most like FILE (DICOM, JPEG or PNG).

    A running system answers from its index; otherwise the database is searched image by image, with the same result in
    more time. The output holds Patient IDs. Exit code 1 when nothing is found.

    \b
    Examples:
      lungprint similar unknown.dcm -k 5
      lungprint similar unknown.dcm --other-patients --since 2020-01-01 --sex F --age-from 40 --age-to 60
      lungprint similar unknown.png --by person --json
    """
    where = CaseFilter.read(narrowed)
    with opened(data_dir) as system:
        encoded = encode_file(Source(str(file), file), load_encoder(system.settings), system.settings)
        if encoded.unsuitable:
            raise InputNotUsable(f"{file} cannot be compared: {encoded.unsuitable}.")
        if encoded.righting:
            told = f"{file} was {encoded.righting} before it was compared, as it is not stored the right way."
            click.echo(f"lungprint: {told}", err=True)
        wanted = {
            "embedding": base64.b64encode(encoded.embedding.astype("<f4").tobytes()).decode(),
            "code": base64.b64encode(encoded.code.tobytes()).decode(),
            "k": k,
            "by": by,
            "offset": (page - 1) * k,
            "person": _person_in(system, file) if other_patients else None,
            "where": where.as_json(),
        }
        found = ask(system, wanted) if running(system.folder) else scan(system, wanted)
        rows = _described(system, found)
    if as_json:
        print_json(rows)
    else:
        _show(rows, bool(where) or other_patients or page > 1)
    ctx.exit(ExitCode.OK if rows else ExitCode.NOTHING)


def ask(system: System, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """The running system's answer; the search of the database when its queue or index does not answer.

    Args:
        wanted: arguments of `workers.similar.similar`.
    """
    app = celery_app(system.settings, system.folder)
    try:
        # Task results are off by default; a question wants its answer.
        answer = app.send_task(str(Task.SIMILAR), kwargs=wanted, ignore_result=False, expires=ANSWER_SECONDS)
        found: list[dict[str, Any]] = answer.get(timeout=ANSWER_SECONDS)
    except (NoAnswer, OperationalError, RedisError, OSError):
        click.echo("lungprint: the index does not answer; searching the database instead.", err=True)
        return scan(system, wanted)
    return found


def scan(system: System, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """The same from the database alone, in the order that the index gives."""
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from cli.stored_gallery import StoredGallery
    from workers.index_owner import network_at_work
    from workers.similar import similar

    gallery = StoredGallery(system.database, network_at_work(system.settings))
    return similar(gallery, system.database, **wanted)


def _person_in(system: System, file: Path) -> int | None:
    """The person of the gallery whose Patient ID a DICOM file's header holds, None if there is none."""
    if not is_dicom(file):
        raise InputNotUsable(f"{file} is no DICOM file, so it names no patient; leave out --other-patients.")
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["PatientID", "IssuerOfPatientID"])
        label = str(header.get("PatientID") or "").strip(), str(header.get("IssuerOfPatientID") or "").strip()
    except (InvalidDicomError, OSError, ValueError) as error:
        raise InputNotUsable(f"The header of {file} cannot be read; leave out --other-patients.") from error
    of_label = select(PERSON).select_from(Instance).join(Patient, Instance.patient_pk == Patient.id)
    with system.database.read() as session:
        return session.scalar(of_label.where(Patient.patient_id == label[0], Patient.issuer == label[1]).limit(1))


def _show(rows: list[dict[str, Any]], narrowed: bool) -> None:
    if not rows:
        click.echo("No image of the gallery fits." if narrowed else "The gallery is empty.")
        return
    table = Table("patient", "taken", "probability", "cosine", "Hamming", "SOP Instance UID", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            escape(row["patient_id"]),
            (row["acquired"] or "-")[:10],
            f"{row['probability']:.1%}",
            f"{row['cosine']:.3f}",
            str(row["hamming"]),
            row["sop_instance_uid"],
        )
    console().print(table)
    click.echo("probability: that both images show one person, if one in two such pairs does")


def _described(system: System, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    wanted = select(Instance).where(Instance.id.in_([row["instance"] for row in found]))
    with system.database.read() as session:
        known = {
            instance.id: {
                "sop_instance_uid": instance.sop_instance_uid,
                "patient_id": instance.patient.patient_id,
                "acquired": _iso(instance),
            }
            for instance in session.scalars(wanted.options(joinedload(Instance.patient)))
        }
    return [{**row, **known[row["instance"]]} for row in found if row["instance"] in known]


def _iso(instance: Instance) -> str | None:
    acquired = instance.series.study.acquired_at
    return None if acquired is None else acquired.isoformat()
