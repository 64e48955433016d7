"""`lungprint user`: who may sign in to the dashboard."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.table import Table

from archive.states import Role
from archive.users import create_user, list_users, set_disabled, set_password
from cli.outcome import EXIT_CODES, InputNotUsable
from cli.output import console, print_json
from cli.system import data_dir_option, json_option, opened

stdin_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it."
)


@click.group()
def command() -> None:
    """Add, list, disable and enable users of the dashboard, and set their passwords."""


@command.command(epilog=EXIT_CODES)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    required=True,
    help="qa disposes of alerts, clinician looks up similar cases, admin sees the system too.",
)
@stdin_option
@data_dir_option
def add(name: str, role: str, password_stdin: bool, data_dir: Path) -> None:
    """Add a user NAME who may sign in at once; the password has at least 12 characters.

    \b
    Examples:
      lungprint user add anna --role qa
      pass lungprint/anna | lungprint user add anna --role qa --password-stdin
    """
    with opened(data_dir) as system:
        password = _password(password_stdin)
        with system.database.write() as session:
            user = create_user(session, name, password, Role(role))
            click.echo(f"User {user.name} added with the role {user.role}.")


@command.command(epilog=EXIT_CODES)
@stdin_option
@click.argument("name")
@data_dir_option
def password(name: str, password_stdin: bool, data_dir: Path) -> None:
    """Give the user NAME a new password; sessions opened with the old one end."""
    with opened(data_dir) as system:
        new = _password(password_stdin)
        with system.database.write() as session:
            click.echo(f"The password of {set_password(session, name, new).name} is changed.")


@command.command(epilog=EXIT_CODES)
@click.argument("name")
@data_dir_option
def disable(name: str, data_dir: Path) -> None:
    """Shut the user NAME out, also from sessions that are open."""
    with opened(data_dir) as system, system.database.write() as session:
        click.echo(f"User {set_disabled(session, name, True).name} is disabled.")


@command.command(epilog=EXIT_CODES)
@click.argument("name")
@data_dir_option
def enable(name: str, data_dir: Path) -> None:
    """Let the user NAME in again."""
    with opened(data_dir) as system, system.database.write() as session:
        click.echo(f"User {set_disabled(session, name, False).name} is enabled.")


@command.command("list", epilog=EXIT_CODES)
@data_dir_option
@json_option
def list_(data_dir: Path, as_json: bool) -> None:
    """List all users, the disabled ones included."""
    with opened(data_dir) as system, system.database.read() as session:
        rows = [
            {
                "name": user.name,
                "role": str(user.role),
                "disabled": user.disabled,
                "created": user.created_at.isoformat(timespec="seconds"),
            }
            for user in list_users(session)
        ]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "role", "may sign in", "since", box=None, pad_edge=False)
    for row in rows:
        table.add_row(str(row["name"]), str(row["role"]), "no" if row["disabled"] else "yes", str(row["created"])[:10])
    console().print(table)


def _password(from_stdin: bool) -> str:
    if not from_stdin:
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt="The same again")
        return asked
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise InputNotUsable("There is no password on standard input; write one line to it.")
    return text
