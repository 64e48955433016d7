"""The system a command is about: its data folder, settings and database."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from archive.database import Database, open_database
from cli.outcome import InputNotUsable
from config.paths import DataDir, data_dir
from config.settings import Settings, load_settings

Command = TypeVar("Command", bound=Callable[..., Any])

data_dir_option: Callable[[Command], Command] = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="LUNGPRINT_DATA_DIR",
    default=Path("lungprint-data"),
    show_default="./lungprint-data",
    show_envvar=True,
    help="The system's data folder.",
)

json_option: Callable[[Command], Command] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for other programs."
)


@dataclass(frozen=True)
class System:
    """One system as a command sees it."""

    folder: DataDir
    settings: Settings
    database: Database


@contextmanager
def opened(path: Path, create: bool = False) -> Iterator[System]:
    """The system in a data folder, whether it is running or not.

    Args:
        create: make an empty one where there is none.

    Raises:
        InputNotUsable: no system was ever started there.
        ConfigurationError: its options are not usable.
    """
    folder = data_dir(path)
    settings = load_settings(folder.root)
    if create:
        folder.create()
    elif not settings.database.url and not folder.database.exists():
        raise InputNotUsable(
            f"There is no Lungprint system in {folder.root}; name it with --data-dir, or start one with `lungprint up`."
        )
    database = open_database(settings, folder)
    try:
        if create:
            database.migrate()
        yield System(folder, settings, database)
    finally:
        database.close()


def running(folder: DataDir) -> dict[str, Any] | None:
    """What the running supervisor says about itself, or None when no system runs in the folder."""
    try:
        found: dict[str, Any] = json.loads((folder.run / "system.json").read_text(encoding="utf-8"))
        os.kill(int(found["pid"]), 0)
    except PermissionError:
        return found
    except (OSError, ValueError, KeyError):
        return None
    return found
