from __future__ import annotations

import logging
import subprocess
import sys


def test_lines_go_to_standard_error_from_the_wanted_level_on() -> None:
    code = (
        "import logging; from config.logs import start_logging; start_logging('warning');"
        "logging.getLogger('a').info('quiet'); logging.getLogger('a').warning('loud')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ""
    assert done.stderr.strip().endswith("WARNING a: loud") and "quiet" not in done.stderr


def test_a_line_that_cannot_be_written_is_lost_in_silence() -> None:
    """/dev/full takes nothing, as a full disk."""
    code = (
        "import logging, os; from config.logs import start_logging; start_logging();"
        "full = os.open('/dev/full', os.O_WRONLY); logging.getLogger().handlers[0].setStream(os.fdopen(full, 'w'));"
        "logging.getLogger('a').warning('patient %s', 'P1'); os.write(1, b'on'); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("on", "")
    assert logging.raiseExceptions
