"""`lungprint similar`: images of the gallery that look like a given one."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click
import numpy as np
from celery.exceptions import TimeoutError as NoAnswer
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from archive.gallery import embeddings_of, pages
from archive.models import Instance
from cli.encoding import Encoded, encode_file, load_encoder
from cli.outcome import EXIT_CODES, ExitCode, InputNotUsable
from cli.output import console, print_json
from cli.sources import Source
from cli.system import System, data_dir_option, json_option, opened, running
from config.broker import Task, celery_app
from retrieval.codes import findings_half, hamming

ANSWER_SECONDS = 30.0


@click.command(epilog=EXIT_CODES)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-k", "k", type=click.IntRange(1, 500), default=10, show_default=True, help="How many to show.")
@click.option(
    "--by",
    type=click.Choice(["findings", "person"]),
    default="findings",
    show_default=True,
    help="Alike in what the image shows, or in whom it shows.",
)
@data_dir_option
@json_option
@click.pass_context
def command(ctx: click.Context, /, file: Path, k: int, by: str, data_dir: Path, as_json: bool) -> None:
    """Find the images of the system's gallery most like FILE (DICOM, JPEG or PNG).

    A running system answers from its index; otherwise the database is searched image by image, with the same result in
    more time. The output holds Patient IDs. Exit code 1 when the gallery is empty.

    \b
    Examples:
      lungprint similar unknown.dcm -k 5
      lungprint similar unknown.png --by person --json
    """
    with opened(data_dir) as system:
        encoded = encode_file(Source(str(file), file), load_encoder(system.settings), system.settings)
        if encoded.unsuitable:
            raise InputNotUsable(f"{file} cannot be compared: {encoded.unsuitable}.")
        found = ask(system, encoded, k, by) if running(system.folder) else scan(system, encoded, k, by)
        rows = _described(system, found)
    if as_json:
        print_json(rows)
    elif rows:
        table = Table(
            "patient", "taken", "probability", "cosine", "Hamming", "SOP Instance UID", box=None, pad_edge=False
        )
        for row in rows:
            table.add_row(
                row["patient_id"],
                (row["acquired"] or "-")[:10],
                f"{row['probability']:.1%}",
                f"{row['cosine']:.3f}",
                str(row["hamming"]),
                row["sop_instance_uid"],
            )
        console().print(table)
        click.echo("probability: that both images show one person, if one in two such pairs does")
    else:
        click.echo("The gallery is empty.")
    ctx.exit(ExitCode.OK if rows else ExitCode.NOTHING)


def ask(system: System, encoded: Encoded, k: int, by: str) -> list[dict[str, Any]]:
    """The running system's answer; the exact scan when its queue or index does not answer."""
    query = {
        "embedding": base64.b64encode(encoded.embedding.astype("<f4").tobytes()).decode(),
        "code": base64.b64encode(encoded.code.tobytes()).decode(),
        "k": k,
        "by": by,
    }
    app = celery_app(system.settings, system.folder)
    try:
        # Task results are off by default; a question wants its answer.
        answer = app.send_task(str(Task.SIMILAR), kwargs=query, ignore_result=False, expires=ANSWER_SECONDS)
        found: list[dict[str, Any]] = answer.get(timeout=ANSWER_SECONDS)
    except (NoAnswer, OperationalError, RedisError, OSError):
        click.echo("lungprint: the index does not answer; searching the database instead.", err=True)
        return scan(system, encoded, k, by)
    return found


def scan(system: System, encoded: Encoded, k: int, by: str) -> list[dict[str, Any]]:
    """Exact search over all codes in the database, in the order that the index gives.

    By findings: ascending Hamming distance of the findings halves, ties by cosine. By person: descending cosine.
    """
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from workers.index_owner import network_at_work

    network = network_at_work(system.settings)
    best: list[tuple[float, float, dict[str, Any]]] = []
    with system.database.read() as session:
        for page in pages(session, network.model_id):
            images = embeddings_of(session, page.instance.tolist())
            found = network.comparer.compare(encoded.embedding, encoded.code, images.embedding, images.code)
            findings = hamming(findings_half(images.code), findings_half(encoded.code))
            shown, first = (found.hamming, -found.cosine) if by == "person" else (findings, findings)
            for i in np.lexsort((images.instance, -found.cosine, first))[:k]:
                row = {
                    "instance": int(images.instance[i]),
                    "cosine": float(found.cosine[i]),
                    "hamming": int(shown[i]),
                    "probability": float(found.probability[i]),
                }
                best.append((float(first[i]), -row["cosine"], row))
            best = sorted(best, key=lambda one: (*one[:2], one[2]["instance"]))[:k]
    return [row for _, _, row in best]


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
