"""`lungprint up`: start the whole system on this machine and keep it running."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.panel import Panel

from archive import users
from archive.database import open_database
from cli.outcome import EXIT_CODES
from cli.output import console
from cli.system import data_dir_option
from config.paths import DataDir, data_dir
from config.settings import Settings, load_settings
from workers.index_owner import network_at_work
from workers.possession import chosen_port, end_leftovers, possession
from workers.supervisor import Supervisor


class Terminal:
    """Tells the person at the terminal what happens."""

    def __init__(self, out: Console, address: str, listener: str, folder: DataDir) -> None:
        self._out = out
        self._address = address
        self._listener = listener
        self._folder = folder
        self._began = time.monotonic()
        self._pids: dict[str, int] = {}

    def started(self, name: str, pid: int) -> None:
        """Remember the process id for the line that says it works."""
        self._pids[name] = pid

    def ready(self, name: str) -> None:
        """One line for each process."""
        self._out.print(f"  [green]✓[/] {name:<12} process {self._pids[name]}")

    def died(self, name: str, how: str, pause: float) -> None:
        """Say what died, where to look, and when it is back."""
        when = "now" if pause == 0 else f"in {pause:g} s"
        log = self._folder.logs / f"{name}.log"
        self._out.print(f"  [yellow]![/] {name} ended with {how}; started again {when}, see {log}")

    def all_ready(self) -> None:
        """The one line others wait for."""
        seconds = time.monotonic() - self._began
        self._out.print(
            f"[bold green]ready[/] after {seconds:.1f} s · DICOM {self._listener} · dashboard {self._address}"
        )
        self._out.print("Stop with Ctrl-C or SIGTERM.")

    def stopping(self) -> None:
        """The system ends."""
        self._out.print("stopping …")


@click.command(epilog=EXIT_CODES)
@data_dir_option
@click.option("--dicom-port", type=click.IntRange(0, 65535), help="TCP port of the DICOM listener.")
@click.option("--web-port", type=click.IntRange(0, 65535), help="TCP port of the dashboard.")
@click.option("--web-host", help="Address of the dashboard.")
@click.option("--ae-title", help="AE title under which this node is called.")
@click.option("--redis-url", help="A Redis server to use instead of the embedded one.")
@click.option("--database-url", help="A database to use instead of SQLite in the data folder.")
def command(data_dir: Path, **given: Any) -> None:
    """Start the listener, workers, index, queue and dashboard, and restart what dies.

    \b
    Examples:
      lungprint up
      lungprint up --data-dir /var/lib/lungprint --ae-title LUNGPRINT --dicom-port 11112 --web-port 8080
    """
    flags = {
        "dicom": {"port": given["dicom_port"], "ae_title": given["ae_title"]},
        "web": {"port": given["web_port"], "host": given["web_host"]},
        "redis": {"url": given["redis_url"]},
        "database": {"url": given["database_url"]},
    }
    up(data_dir, flags, console())


def up(path: Path, flags: dict[str, dict[str, Any]], out: Console) -> None:
    """Run the system in a data folder until it is told to stop.

    Args:
        flags: {section: {option: value}}; None values are left out.

    Raises:
        LungprintError: an option, the folder or a port cannot be used, or the system runs already.
    """
    folder = data_dir(path)
    settings = load_settings(folder.root, flags=flags)
    folder.create()
    with possession(folder):
        for pid in end_leftovers(folder):
            out.print(f"Process {pid}, left behind by a killed system, was ended.")
        network_at_work(settings)
        dicom_port = chosen_port(settings.dicom.bind_host, settings.dicom.port, "DICOM listener", "--dicom-port")
        web_port = chosen_port(settings.web.host, settings.web.port, "dashboard", "--web-port")
        flags["dicom"]["port"], flags["web"]["port"] = dicom_port, web_port
        out.print(f"Lungprint in {folder.root}")
        _prepare_archive(settings, folder, out)
        address = f"http://{settings.web.host}:{web_port}"
        listener = f"{settings.dicom.ae_title} at {settings.dicom.bind_host}:{dicom_port}"
        watcher = Terminal(out, address, listener, folder)
        Supervisor(settings, folder, dicom_port, web_port, watcher, flags).run()
    out.print("stopped")


def _prepare_archive(settings: Settings, folder: DataDir, out: Console) -> None:
    database = open_database(settings, folder)
    try:
        database.migrate()
        with database.write() as session:
            first = users.ensure_first_admin(session)
    finally:
        database.close()
    if first is not None:
        name, password = first
        out.print(
            Panel(f"user      {name}\npassword  {password}", title="first login, shown this once", expand=False),
            markup=False,
        )
