"""`lungprint status`: what the system holds, what waits, and what needs a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from archive.backlog import Errand
from archive.statistics import system_status
from cli.outcome import EXIT_CODES, ExitCode
from cli.output import console, print_json
from cli.system import data_dir_option, json_option, opened, running


@click.command(epilog=EXIT_CODES)
@data_dir_option
@json_option
@click.pass_context
def command(ctx: click.Context, data_dir: Path, as_json: bool) -> None:
    """Show images by state, queue lengths, what waits for other systems, and open alerts.

    The exit code is 3 when the system is not running.

    \b
      RECEIVED    stored and acknowledged, waits for the encoder
      ENCODED     waits for its verdict
      MATCHED     compared and part of the gallery
      UNSUITABLE  no frontal chest image, or not readable: kept, never compared
      FAILED      given up after several attempts (a dead letter)

    \b
    Examples:
      lungprint status
      lungprint status --data-dir /var/lib/lungprint --json
    """
    with opened(data_dir) as system:
        found = system_status(system.database, system.settings, system.folder).as_json()
        found["running"] = running(system.folder)
    if as_json:
        print_json(found)
    else:
        _show(found)
    ctx.exit(ExitCode.OK if found["running"] else ExitCode.NOT_RUNNING)


def _show(found: dict[str, Any]) -> None:
    out = console()
    now = found["running"]
    if now:
        out.print(
            f"running since {now['started'][:19].replace('T', ' ')} UTC: DICOM {now['ae_title']} on port "
            f"{now['dicom_port']}, dashboard http://{now['web_host']}:{now['web_port']}/"
        )
    else:
        out.print("not running; start it with `lungprint up`")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for state, count in found["images"].items():
        table.add_row(str(count), f"images {state}")
    table.add_section()
    for queue, length in found["queues"].items():
        table.add_row("?" if length is None else str(length), f"messages in queue {queue}")
    table.add_section()
    for errand in Errand:
        backlog = found[str(errand)]
        dead = f", {backlog['dead']} more given up" if backlog["dead"] else ""
        table.add_row(str(backlog["pending"]), f"{errand.words}{dead}")
    table.add_section()
    for key, text in (
        ("open_alerts", "alerts that wait for a person"),
        ("open_audit_alerts", "findings of an archive audit that wait for a person"),
        ("held_alerts", "alerts held back by the alert budget"),
        ("dead_letters", "dead letters (lungprint dead-letters list)"),
        ("quarantined", "files in quarantine"),
        ("variants", "other files under a known SOP Instance UID"),
        ("patients", "patient records"),
    ):
        table.add_row(str(found[key]), text)
    out.print(table)
    out.print(f"last image received: {found['last_received'] or 'never'}")
