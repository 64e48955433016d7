"""Options of how the system runs: dashboard, queue, database, retries, log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from config.settings.base import Port, Section


class Web(Section):
    """The dashboard."""

    host: str
    port: Port
    https: bool
    session_minutes: int = Field(ge=1)
    logins_per_minute: int = Field(ge=1)


class Redis(Section):
    """The queue's server."""

    url: Annotated[str, StringConstraints(pattern=r"^((rediss?|unix)://\S+)?$")]


class Database(Section):
    """The archive's database."""

    url: str


class Retries(Section):
    """How often something is tried, and the pauses between."""

    max_attempts: int = Field(ge=1, le=100)
    retry_seconds: float = Field(gt=0)
    retry_max_seconds: float = Field(gt=0)


class Workers(Retries):
    """Retries and reconciliation of images."""

    reconcile_seconds: float = Field(gt=0)


class Log(Section):
    """What is written to the log."""

    level: Literal["debug", "info", "warning", "error"]
