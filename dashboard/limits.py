"""How often one address may try a password."""

from __future__ import annotations

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits import parse

from dashboard.services import services

# Counted in this process's memory: one process serves the dashboard.
limiter = Limiter(get_remote_address, storage_uri="memory://", headers_enabled=True, strategy="moving-window")


def limit_attempts(app: Flask) -> None:
    """Make the limits hold in `app`."""
    limiter.init_app(app)
    limiter.reset()


def attempts() -> str:
    """The limit of the settings, in the notation of the package `limits`."""
    return f"{services().settings.web.logins_per_minute} per minute"


def may_try() -> bool:
    """Whether this address may send another password with a request; right ones do not count."""
    return limiter.limiter.test(parse(attempts()), "basic", get_remote_address())


def count_failure() -> None:
    """Count a wrong password that was sent with a request."""
    limiter.limiter.hit(parse(attempts()), "basic", get_remote_address())
