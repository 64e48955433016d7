"""What every page works with: settings, the data folder, the database and the way to the workers."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from archive.database import Database
from config.paths import DataDir
from config.settings import Settings
from dashboard.asking import Workers
from dashboard.shown import Shown


@dataclass(frozen=True)
class Services:
    """The parts of one system that the dashboard uses."""

    settings: Settings
    folder: DataDir
    database: Database
    workers: Workers
    shown: Shown


def services() -> Services:
    """Those of the application that serves the present request."""
    found: Services = current_app.extensions["lungprint"]
    return found
