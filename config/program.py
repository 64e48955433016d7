"""How a process of a system starts: with the folder, options and log of the system that the environment names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from config.errors import ConfigurationError, LungprintError
from config.logs import start_logging
from config.paths import DataDir, data_dir
from config.settings import Settings, load_settings

VARIABLE = "LUNGPRINT_DATA_DIR"
# Exit code of a process that was asked for something that it cannot do.
REFUSED = 2


def system_folder() -> DataDir:
    """The data folder in the environment.

    Raises:
        ConfigurationError: the environment names none.
    """
    root = os.environ.get(VARIABLE)
    if not root:
        raise ConfigurationError(f"{VARIABLE} is not set; it names the data folder of the system to serve.")
    return data_dir(root)


def run(serve: Callable[[Settings, DataDir], None]) -> int:
    """Serve the system that the environment names until `serve` returns; returns the exit code.

    What stops it is one sentence on standard error.
    """
    try:
        folder = system_folder()
        settings = load_settings(folder.root)
        start_logging(settings.log.level)
        serve(settings, folder)
    except LungprintError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    return 0
