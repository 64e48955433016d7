"""What a command's exit code says, and the errors that carry one."""

from __future__ import annotations

from enum import IntEnum

from config.errors import LungprintError


class ExitCode(IntEnum):
    """Exit codes of `lungprint`."""

    OK = 0
    NOTHING = 1
    USAGE = 2
    NOT_RUNNING = 3


EXIT_CODES = """\b
Exit codes:
  0  done
  1  done, but nothing found or not everything could be done
  2  wrong usage, configuration or input
  3  the system is not running"""


class NotRunning(LungprintError):
    """The command needs a running system."""

    exit_code = ExitCode.NOT_RUNNING


class InputNotUsable(LungprintError):
    """A file or folder given to a command cannot be used."""

    exit_code = ExitCode.USAGE
