"""`lungprint messages`: what goes out about alerts (webhook, e-mail, PACS), what was given up, and another try."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from archive.notifications import list_messages
from archive.notifications import retry as retry_message
from archive.states import NotificationState
from cli.outcome import EXIT_CODES, ExitCode, InputNotUsable
from cli.output import console, print_json
from cli.system import data_dir_option, json_option, opened

UNSENT = (NotificationState.PENDING, NotificationState.DEAD)


@click.group()
def command() -> None:
    """List messages about alerts to other systems, and try again those that did not get through."""


@command.command("list", epilog=EXIT_CODES)
@data_dir_option
@json_option
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in NotificationState]),
    multiple=True,
    help="Only messages in this state (may be repeated); by default all that were not sent.",
)
def list_(data_dir: Path, as_json: bool, states: tuple[str, ...]) -> None:
    """List messages, oldest first, with the reason of the last attempt.

    \b
      pending  waits for its first or next attempt
      dead     given up after outbox.max_attempts attempts (a dead letter)
      sent     the other system has taken it

    \b
    Examples:
      lungprint messages list
      lungprint messages list --state dead --json
    """
    wanted = [NotificationState(state) for state in states] or UNSENT
    with opened(data_dir) as system, system.database.read() as session:
        rows = list_messages(session, wanted)
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("No such messages.")
        return
    table = Table("id", "channel", "alert", "state", "attempts", "next attempt", "reason", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            str(row["id"]),
            row["channel"],
            str(row["alert"]),
            row["state"],
            str(row["attempts"]),
            (row["due"] or "-")[:19],
            row["reason"],
        )
    console().print(table)


@command.command(epilog=EXIT_CODES)
@click.argument("ids", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All dead letters, and all messages that wait.")
@data_dir_option
@click.pass_context
def retry(ctx: click.Context, /, ids: tuple[int, ...], everything: bool, data_dir: Path) -> None:
    """Try the messages with these IDS at once, with all attempts before them; the running system takes them up.

    \b
    Examples:
      lungprint messages retry 17 18
      lungprint messages retry --all
    """
    if bool(ids) == everything:
        raise InputNotUsable("Name the messages by their ids, or take --all.")
    with opened(data_dir) as system, system.database.write() as session:
        wanted = [row["id"] for row in list_messages(session, UNSENT, most=1 << 30)] if everything else sorted(set(ids))
        done = sum(retry_message(session, number) for number in wanted)
    unknown = len(wanted) - done
    click.echo(f"{done} messages will be tried again." + (f" {unknown} are sent or do not exist." if unknown else ""))
    ctx.exit(ExitCode.NOTHING if unknown else ExitCode.OK)
