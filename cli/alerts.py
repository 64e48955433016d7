"""`lungprint alerts`: what the system wants a person to look at."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from archive.alerts import list_alerts
from archive.states import AlertKind, AlertState
from cli.outcome import EXIT_CODES
from cli.output import console, print_json
from cli.system import data_dir_option, json_option, opened


@click.command(epilog=EXIT_CODES)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([str(state) for state in AlertState]),
    help="Only alerts in this state; may be given several times.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([str(kind) for kind in AlertKind]),
    help="Only alerts of this kind; may be given several times.",
)
@data_dir_option
@json_option
def command(states: tuple[str, ...], kinds: tuple[str, ...], data_dir: Path, as_json: bool) -> None:
    """List alerts, the most probable first.

    \b
      wrong_patient     the image differs from the patient's priors and looks like another patient
      prior_mismatch    the image differs from the patient's priors and looks like nobody in particular
      duplicate_record  two patient records seem to belong to one person
      duplicate_image   the same pixels came under another patient or study
      audit_...         the same of images that were in the archive before, found by `lungprint audit`

    The output holds Patient IDs. An alert is `held` when it exceeds the alert budget (verdict.alerts_per_1000).

    \b
    Examples:
      lungprint alerts --state open
      lungprint alerts --kind wrong_patient --json
    """
    with opened(data_dir) as system, system.database.read() as session:
        found = [
            alert
            for alert in list_alerts(session, [AlertState(state) for state in states])
            if not kinds or alert["kind"] in kinds
        ]
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("No alerts.")
        return
    table = Table(
        "id", "severity", "kind", "probability", "labelled", "looks like", "state", "created", box=None, pad_edge=False
    )
    for alert in found:
        table.add_row(
            str(alert["id"]),
            alert["severity"],
            alert["kind"],
            f"{alert['probability']:.1%}",
            alert["patient_id"],
            alert["other_patient_id"] or "-",
            alert["state"],
            alert["created"][:19].replace("T", " "),
        )
    console().print(table)
