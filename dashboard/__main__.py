"""Serves the dashboard of the system in LUNGPRINT_DATA_DIR until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import signal
import sys

import waitress

from config.errors import ConfigurationError
from config.paths import DataDir
from config.program import run
from config.settings import Settings
from dashboard.factory import create_app

THREADS = 16

_log = logging.getLogger("dashboard")


def main() -> int:
    """Serve; returns the exit code."""
    return run(_serve)


def _serve(settings: Settings, folder: DataDir) -> None:
    app = create_app(settings, folder)
    try:
        server = waitress.create_server(
            app,
            host=settings.web.host,
            port=settings.web.port,
            threads=THREADS,
            ident="",
            clear_untrusted_proxy_headers=not settings.web.https,
        )
    except OSError as error:
        where = f"{settings.web.host}:{settings.web.port}"
        raise ConfigurationError(f"The dashboard cannot listen on {where}: {error.strerror}.") from error
    signal.signal(signal.SIGTERM, _stop)
    _log.info("The dashboard is at http://%s:%s", settings.web.host, server.effective_port)
    server.run()


def _stop(*_: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
