"""`lungprint audit`: misfiled images and duplicate records among all images of the archive."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from archive.archive_audit import AuditAlert, raise_audit_alerts, ranked
from cli.auditing.report import Row, described, write_csv
from cli.outcome import EXIT_CODES
from cli.output import console, print_json, progress_bar
from cli.system import System, data_dir_option, json_option, opened

if TYPE_CHECKING:
    from cli.auditing.run import Outcome

# Findings shown on the screen; the CSV and the dashboard have all.
MOST_SHOWN = 20
# Findings shown as open however small the archive is.
LEAST_OPEN = 25


def _checked_device(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise click.BadParameter("choose auto, cpu, cuda, or a GPU by number such as cuda:1.")
    return value


@click.command(epilog=EXIT_CODES)
@click.option(
    "--csv", "csv_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all findings to a file."
)
@click.option("--no-alerts", is_flag=True, help="Only report; raise no alerts.")
@click.option(
    "--device",
    callback=_checked_device,
    help="Where to compare: auto, cpu, cuda, cuda:1; by default the option audit.device.",
)
@click.option("--restart", is_flag=True, help="Begin anew instead of going on where the last audit stopped.")
@data_dir_option
@json_option
def command(
    csv_path: Path | None, no_alerts: bool, device: str | None, restart: bool, data_dir: Path, as_json: bool
) -> None:
    """Find misfiled images and duplicate records among all images of the archive, however long ago they came.

    Every image is compared with every other. Found are images filed under the wrong patient, patients with two records,
    and the same pixels filed twice.

    Each image is judged as if it had come last, by the rules for new images. The findings become alerts of kinds of
    their own (audit_wrong_patient, audit_prior_mismatch, audit_duplicate_record, audit_duplicate_image). The dashboard
    lists them under "Archive audit", apart from the news, the most probable first; no messages are sent for them. The
    same archive gives the same findings, and running it again raises nothing twice.

    It may run while the system does. Stopped by Ctrl-C or a crash, it goes on where it was; images that arrived
    meanwhile wait for the next audit. The output and the CSV hold Patient IDs.

    \b
    Examples:
      lungprint audit
      lungprint audit --csv findings.csv --no-alerts
    """
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from cli.auditing.progress import only_one
    from cli.auditing.run import audit

    with opened(data_dir) as system, only_one(system.folder.audit) as progress:
        if restart:
            progress.clear()
        with progress_bar() as bar:
            outcome = audit(system, progress, bar, device or system.settings.audit.device)
        alerts = [] if no_alerts else _raise(system, outcome)
        findings = ranked(outcome.findings)
        with system.database.read() as session:
            rows = described(session, findings, alerts)
        if csv_path is not None:
            write_csv(rows, csv_path)
        progress.clear()
    if as_json:
        print_json({**_summary(outcome), "findings": [asdict(row) for row in rows]})
    else:
        _show(outcome, rows)


def _raise(system: System, outcome: Outcome) -> list[AuditAlert]:
    most_open = max(LEAST_OPEN, int(system.settings.audit.alerts_per_1000 * outcome.studies / 1000))
    with system.database.write() as session:
        return raise_audit_alerts(session, outcome.findings, most_open)


def _summary(outcome: Outcome) -> dict[str, Any]:
    return {
        "images": outcome.images,
        "persons": outcome.persons,
        "studies": outcome.studies,
        "least_normalised_cosine": outcome.floor,
        "pairs": outcome.pairs,
        "continued": outcome.continued,
    }


def _show(outcome: Outcome, rows: list[Row]) -> None:
    out = console()
    if rows:
        table = Table("kind", "probability", "labelled", "looks like", "alert", "state", box=None, pad_edge=False)
        for row in rows[:MOST_SHOWN]:
            table.add_row(
                row.kind.removeprefix("audit_"),
                f"{row.probability:.1%}",
                escape(row.patient_id),
                escape(row.other_patient_id) or "-",
                "-" if row.alert is None else str(row.alert),
                row.state or "-",
            )
        out.print(table)
    if len(rows) > MOST_SHOWN:
        click.echo(f"and {len(rows) - MOST_SHOWN} more; --csv writes all of them, the dashboard shows them.")
    counts = Counter(row.state for row in rows)
    told = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(counts.items()) if state)
    click.echo(
        f"{outcome.images} images of {outcome.persons} patients in {outcome.studies} studies compared with each other: "
        f"{len(rows)} findings{f' ({told})' if told else ''}."
    )
    if outcome.floor is None and outcome.persons > 1:
        click.echo(
            f"Among {outcome.persons} patients no likeness of two images is strong enough, by this calibration, to "
            "name another patient by themselves; images unlike their own patient's were looked for, pixels filed "
            "twice, and second records of one birth date."
        )
