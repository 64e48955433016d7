"""`lungprint dead-letters`: images that were given up, and another try for them."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from sqlalchemy import select

from archive.models import Instance
from archive.progress import retry as retry_instance
from archive.states import ImageState
from cli.outcome import EXIT_CODES, ExitCode, InputNotUsable
from cli.output import console, print_json
from cli.system import data_dir_option, json_option, opened


@click.group()
def command() -> None:
    """List images that were given up after several attempts, and try them again."""


@command.command("list", epilog=EXIT_CODES)
@data_dir_option
@json_option
def list_(data_dir: Path, as_json: bool) -> None:
    """List the dead letters, oldest first, with the reason of the last attempt."""
    wanted = select(Instance).where(Instance.state == ImageState.FAILED).order_by(Instance.id)
    with opened(data_dir) as system, system.database.read() as session:
        rows = [
            {
                "id": instance.id,
                "sop_instance_uid": instance.sop_instance_uid,
                "reason": instance.reason,
                "attempts": instance.attempts,
                "received": instance.received_at.isoformat(),
            }
            for instance in session.scalars(wanted)
        ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("No dead letters.")
        return
    table = Table("id", "received", "attempts", "reason", "SOP Instance UID", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            str(row["id"]),
            str(row["received"])[:19],
            str(row["attempts"]),
            str(row["reason"]),
            str(row["sop_instance_uid"]),
        )
    console().print(table)


@command.command(epilog=EXIT_CODES)
@click.argument("ids", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@data_dir_option
@click.pass_context
def retry(ctx: click.Context, /, ids: tuple[int, ...], everything: bool, data_dir: Path) -> None:
    """Give the images with these IDS another try, with all attempts before them; the running system takes them up.

    \b
    Examples:
      lungprint dead-letters retry 17 18
      lungprint dead-letters retry --all
    """
    if bool(ids) == everything:
        raise InputNotUsable("Name the dead letters by their ids, or take --all.")
    with opened(data_dir) as system, system.database.write() as session:
        failed = list(session.scalars(select(Instance.id).where(Instance.state == ImageState.FAILED)))
        wanted = failed if everything else [number for number in ids if number in set(failed)]
        done = sum(retry_instance(session, number) for number in wanted)
    unknown = 0 if everything else len(set(ids)) - done
    click.echo(f"{done} images will be tried again." + (f" {unknown} are no dead letters." if unknown else ""))
    ctx.exit(ExitCode.NOTHING if unknown else ExitCode.OK)
