"""How every process writes its log: one line each to standard error, which the supervisor keeps in a file."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from types import TracebackType

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class PlaceOnly(logging.Formatter):
    """Shows where an error was raised and of which type, not its message, which may quote a patient's data."""

    def formatException(self, ei: _Raised) -> str:  # noqa: N802
        """The lines of code from the outermost to the innermost, then the error's type."""
        kind, _, place = ei
        frames = "".join(traceback.format_list(traceback.extract_tb(place)))
        return f"Traceback (most recent call last):\n{frames}{kind.__name__ if kind else 'no error'}"


class TypeOnly(logging.Filter):
    """Shortens the error that Celery quotes in the text of a line about a failed task to its type."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, this one without the error's message."""
        if isinstance(record.args, Mapping) and "exc" in record.args:
            record.args = {**record.args, "exc": str(record.args["exc"]).partition("(")[0], "traceback": ""}
        return True


def start_logging(level: str = "info") -> None:
    """Set up logging of this process; `level` is the option `log.level`.

    A line that cannot be written (its disk is full) is lost. Python would print what it was made of in its place, again
    and again, and that may name a patient. For the same reason what nobody catches is logged by type and place alone.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(PlaceOnly(_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.raiseExceptions = False
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _log_uncaught(kind: type[BaseException], error: BaseException, place: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(__name__).critical(
        "This process ends for a reason nobody foresaw.", exc_info=(kind, error, place)
    )


def _log_uncaught_in_thread(caught: threading.ExceptHookArgs) -> None:
    if issubclass(caught.exc_type, SystemExit) or caught.exc_value is None:
        return
    raised = (caught.exc_type, caught.exc_value, caught.exc_traceback)
    logging.getLogger(__name__).critical("A thread ended for a reason nobody foresaw.", exc_info=raised)
