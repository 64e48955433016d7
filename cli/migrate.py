"""`lungprint migrate`: bring the database to the schema of this version, before the processes start one by one."""

from __future__ import annotations

from pathlib import Path

import click

from cli.outcome import EXIT_CODES
from cli.system import data_dir_option, opened


@click.command(epilog=EXIT_CODES)
@data_dir_option
def command(data_dir: Path) -> None:
    """Make the data folder and bring the database's schema to this version; safe to call at any time.

    `lungprint up` does this by itself. It is needed where each process is started alone, as in containers.

    \b
    Example:
      LUNGPRINT_DATABASE_URL=postgresql+psycopg://lungprint:secret@db/lungprint lungprint migrate
    """
    with opened(data_dir, create=True) as system:
        click.echo(f"The database of {system.folder.root} has the schema of this version.")
