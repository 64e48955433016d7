"""`lungprint config`: which options are in effect and where each comes from, and the option file to start from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from rich.table import Table

from cli.outcome import EXIT_CODES, InputNotUsable
from cli.output import console, print_json
from cli.system import data_dir_option, json_option
from config.paths import data_dir
from config.settings import Layer, Settings, load_settings, option_layers, shipped_options

MASK = "********"


@click.group()
def command() -> None:
    """Show the options in effect, or write the commented option file."""


@command.command(epilog=EXIT_CODES)
@data_dir_option
@json_option
@click.option("--changed", is_flag=True, help="Only options that differ from the shipped default.")
def show(data_dir: Path, as_json: bool, changed: bool) -> None:
    """Show every option, its value and where that comes from; passwords are masked.

    \b
    Examples:
      lungprint config show --changed
      LUNGPRINT_DICOM_PORT=104 lungprint config show --json
    """
    rows = effective(data_dir, changed)
    if as_json:
        print_json(rows)
        return
    table = Table("option", "value", "from", box=None, pad_edge=False)
    for section, options in rows.items():
        for name, row in options.items():
            table.add_row(f"{section}.{name}", _text(row["value"]), row["origin"])
    console().print(table)


@command.command(epilog=EXIT_CODES)
@data_dir_option
@click.option("--force", is_flag=True, help="Replace the file that is there.")
def write(data_dir: Path, force: bool) -> None:
    """Write DATA_DIR/lungprint.toml: every option with its meaning, unit and default, to be edited.

    \b
    Example:
      lungprint config write --data-dir /var/lib/lungprint
    """
    target = _root(data_dir) / "lungprint.toml"
    if target.exists() and not force:
        raise InputNotUsable(f"{target} exists already; edit it, or replace it with --force.")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.write_text(shipped_options(), encoding="utf-8")
        target.chmod(0o600)
    except OSError as error:
        raise InputNotUsable(f"{target} cannot be written: {error.strerror}.") from error
    click.echo(f"{target} written. Edit it, then restart the system.")


def effective(path: Path, changed: bool = False) -> dict[str, dict[str, dict[str, Any]]]:
    """{section: {option: {"value", "origin"}}} of the system in a folder, secrets masked.

    Raises:
        ConfigurationError: an option is not usable.
    """
    settings = load_settings(_root(path))
    layers = option_layers(_root(path))
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for section in Settings.model_fields:
        for name, value in getattr(settings, section).model_dump(mode="json").items():
            origin = _origin(layers, section, name)
            if not changed or origin != layers[0].origin:
                rows.setdefault(section, {})[name] = {"value": masked(section, name, value), "origin": origin}
    return rows


def masked(section: str, name: str, value: Any) -> Any:
    """The value with whatever could open another system taken out."""
    if not isinstance(value, str) or not value:
        return value
    if (section, name) == ("notify", "webhook_url"):
        # Many webhooks carry their key in the path.
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.hostname}/{MASK}"
    if name.endswith(("secret", "password", "token")):
        return MASK
    # A password may hold any character that its owner forgot to escape, so the last @ of the authority ends it.
    return re.sub(r"(://[^:/@]*):[^/]*@", rf"\1:{MASK}@", value)


def _root(path: Path) -> Path:
    return data_dir(path).root


def _origin(layers: Sequence[Layer], section: str, name: str) -> str:
    return next(layer.origin for layer in reversed(layers) if name in layer.options.get(section, {}))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(_text(entry) for entry in value) or "none"
    if isinstance(value, dict):
        return " ".join(str(part) for part in value.values())
    return str(value) if value != "" else "-"
