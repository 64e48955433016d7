"""`lungprint retrieve`: have the PACS send the chest images of days gone by, at night and with a progress bar."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path

import click

from archive import priors
from archive.database import Database
from archive.priors import Progress
from archive.states import SearchState
from cli.outcome import EXIT_CODES, ExitCode, InputNotUsable
from cli.output import print_json, progress_bar
from cli.system import System, data_dir_option, json_option, opened, running

MOST_DAYS = 366 * 50

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command(epilog=EXIT_CODES)
@click.option("--from", "first", type=_DAY, required=True, metavar="DAY", help="First day, for example 2020-01-01.")
@click.option("--until", "last", type=_DAY, metavar="DAY", help="Last day.", show_default="yesterday")
@click.option("--now", "at_once", is_flag=True, help="Fetch here and now, whatever priors.hours says.")
@data_dir_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, /, first: datetime, last: datetime | None, at_once: bool, data_dir: Path, as_json: bool
) -> None:
    """Have the PACS of priors.peer send the chest images of a range of days, the newest day first.

    The running system works the days off in the hours of priors.hours, no faster than priors.series_per_minute. Asked
    again for the same days, it says how far they are; what came is not fetched twice, and days that were given up are
    tried again. May be stopped at any time and goes on where it stopped. The images become priors; what they show to be
    wrong is held back and can be searched (`lungprint alerts --state held`), for nobody is about to read them.

    \b
    Examples:
      lungprint retrieve --from 2020-01-01 --until 2023-12-31
      lungprint retrieve --from 2024-01-01 --now
    """
    begin = first.date()
    end = date.today() - timedelta(days=1) if last is None else last.date()
    days = [end - timedelta(days=number) for number in range((end - begin).days + 1)]
    if not 0 < len(days) <= MOST_DAYS:
        raise InputNotUsable(f"From {begin} until {end} there are {len(days)} days; ask for 1 to {MOST_DAYS}.")
    with opened(data_dir) as system:
        if not system.settings.priors.peer:
            raise InputNotUsable("No PACS is configured to be asked: set priors.peer, see `lungprint config show`.")
        with system.database.write() as session:
            added = priors.ask_for_days(session, days)
        if at_once:
            _fetch(system, days)
        found = _progress(system.database, days)
        if as_json:
            print_json({"added": added, **asdict(found)})
        else:
            _say(system, found, added)
    if found.dead:
        ctx.exit(ExitCode.NOTHING)


def _fetch(system: System, days: list[date]) -> None:
    from dicom_node.discretion import keep_values_private
    from dicom_node.priors import PriorRetrieval

    keep_values_private()
    # Encoding is left to the running system, which finds the images in the database.
    retrieval = PriorRetrieval(system.settings, system.folder, system.database, _announce_nothing)
    with progress_bar() as bar:
        task = bar.add_task("days", total=len(days), completed=_progress(system.database, days).done)
        while (day := _next_day(system.database, days)) is not None:
            state = retrieval.fetch_day(day)
            found = _progress(system.database, days)
            bar.update(task, completed=found.done, description=f"days, {found.series} series")
            if state is not SearchState.DONE:
                bar.console.print(f"{day}: {_reason(system.database, day)}", markup=False, soft_wrap=True)


def _announce_nothing(_instance_id: int) -> None:
    return


def _next_day(database: Database, days: list[date]) -> date | None:
    with database.write() as session:
        return priors.claim_day(session, days[-1], days[0])


def _reason(database: Database, day: date) -> str:
    with database.read() as session:
        return priors.reason_of_day(session, day)


def _progress(database: Database, days: list[date]) -> Progress:
    with database.read() as session:
        return priors.progress_of_days(session, days[-1], days[0])


def _say(system: System, found: Progress, added: int) -> None:
    click.echo(f"{added} days were added. Of {found.total} days, {found.done} are done, with {found.series} series.")
    if found.pending:
        hours = system.settings.priors.hours
        where = (
            "The running system" if running(system.folder) else "The system, once it is started with `lungprint up`,"
        )
        click.echo(f"{where} fetches the other {found.pending} in the hours {hours} (priors.hours).")
    if found.dead:
        click.echo(f"{found.dead} days were given up: is the PACS reachable? This command tries them again.")
