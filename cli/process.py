"""`lungprint process`: one process of the system in the foreground, for containers and service managers."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cli.outcome import EXIT_CODES, InputNotUsable
from cli.system import data_dir_option
from config.paths import data_dir as folder_at
from config.settings import load_settings
from workers.processes import commands

NAMES = ("listener", "encode", "match", "maintenance", "beat", "dashboard", "hl7")


@click.command(epilog=EXIT_CODES)
@click.argument("name", type=click.Choice(NAMES))
@data_dir_option
def command(name: str, data_dir: Path) -> None:
    """Become one process of the system, where something else than `lungprint up` keeps the processes running.

    A system needs each of them; `match` and `beat` once, `encode` and `maintenance` as often as you like. They share
    the data folder, a Redis server (redis.url) and the database, which `lungprint migrate` prepares.

    \b
    Example:
      LUNGPRINT_REDIS_URL=redis://queue:6379/0 lungprint process listener
    """
    folder = folder_at(data_dir)
    settings = load_settings(folder.root)
    if not settings.redis.url:
        raise InputNotUsable("Processes started one by one need a Redis server of their own: set LUNGPRINT_REDIS_URL.")
    folder.create()
    chosen = commands(settings, folder).get(name)
    if chosen is None:
        raise InputNotUsable("HL7 messages are not taken while hl7.port is 0; set LUNGPRINT_HL7_PORT.")
    os.execve(chosen.arguments[0], list(chosen.arguments), dict(chosen.environ))
