"""How every process writes its log: one line each to standard error, which the supervisor keeps in a file."""

from __future__ import annotations

import logging

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def start_logging(level: str = "info") -> None:
    """Set up logging of this process; `level` is the option `log.level`.

    A line that cannot be written (its disk is full) is lost. Python would print what it was made of in its place, again
    and again, and that may name a patient.
    """
    logging.basicConfig(level=level.upper(), format=_FORMAT, force=True)
    logging.raiseExceptions = False
