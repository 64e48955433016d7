from __future__ import annotations

import logging
import subprocess
import sys

import pytest


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


@pytest.mark.parametrize(
    "fails",
    [
        "logging.getLogger('a').exception('could not')",
        "threading.Thread(target=fail).start()",
        "fail()",
        "logging.getLogger('celery.app.trace').error('%(exc)s', {'exc': repr(error)}, exc_info=error)",
    ],
)
def test_an_error_nobody_foresaw_is_logged_by_type_and_place_without_its_message(fails: str) -> None:
    code = (
        "import logging, threading; from config.logs import TypeOnly, start_logging; start_logging()\n"
        "logging.getLogger('celery.app.trace').addFilter(TypeOnly())\n"
        "who = 'Doe' + chr(94) + 'Jane'\n"
        "def fail(): raise KeyError(who)\n"
        f"try: fail()\nexcept KeyError as error:\n    {fails}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "KeyError" in done.stderr and "in fail" in done.stderr and "Traceback" in done.stderr
    assert "Doe^Jane" not in done.stdout + done.stderr
