"""`lungprint status`: numbers for programs and people, and whether the system runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from typing import Any

from click.testing import CliRunner, Result

from archive.commitments import enter
from archive.database import Database
from archive.models import Commitment, RetrievedDay
from archive.states import ImageState, NotificationState
from cli.outcome import ExitCode
from cli.status import command
from config.paths import DataDir
from tests.archive.filing import file_image, file_patient
from workers.possession import SystemFile


def run(folder: DataDir, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(folder.root)])


def ask(folder: DataDir) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(folder, "--json").stdout)
    return found


def announce(folder: DataDir, pid: int) -> None:
    SystemFile(pid, 11112, 8080, "127.0.0.1", "LUNGPRINT", "2024-05-01T10:00:00+00:00", {}).write(folder)


def test_images_are_counted_by_state(folder: DataDir, database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "P1")
        for state in (ImageState.MATCHED, ImageState.MATCHED, ImageState.FAILED):
            file_image(session, patient, state=state)
    found = ask(folder)
    assert found["images"] == {"RECEIVED": 0, "ENCODED": 0, "MATCHED": 2, "UNSUITABLE": 0, "FAILED": 1}
    assert found["dead_letters"] == 1
    assert found["patients"] == 1


def test_without_a_queue_its_lengths_are_unknown_not_zero(folder: DataDir, database: Database) -> None:
    assert set(ask(folder)["queues"].values()) == {None}


def test_a_system_that_does_not_run_is_told_from_one_that_does(folder: DataDir, database: Database) -> None:
    assert run(folder).exit_code == ExitCode.NOT_RUNNING
    announce(folder, os.getpid())
    done = run(folder)
    assert done.exit_code == ExitCode.OK
    assert "LUNGPRINT on port 11112" in done.output
    assert ask(folder)["running"]["dicom_port"] == 11112


def test_what_a_killed_supervisor_left_behind_does_not_count_as_running(folder: DataDir, database: Database) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pid = gone.pid
    announce(folder, pid)
    assert run(folder).exit_code == ExitCode.NOT_RUNNING


def test_a_broken_system_file_is_no_system(folder: DataDir, database: Database) -> None:
    (folder.run / "system.json").write_text("{")
    assert run(folder).exit_code == ExitCode.NOT_RUNNING


def test_people_see_what_waits_for_other_systems(folder: DataDir, database: Database) -> None:
    with database.write() as session:
        enter(session, "PACS1", "1.2.3", [("1.2", "1.3")])
        given_up = enter(session, "PACS1", "1.2.4", [("1.2", "1.3")])
        session.get_one(Commitment, given_up).state = NotificationState.DEAD
        session.add(RetrievedDay(day=date(2024, 2, 29)))
    assert ask(folder)["commitments"] == {"pending": 1, "dead": 1}
    said = run(folder).output
    assert "1  storage commitment reports to peers, 1 more given up" in said
    assert "1  days whose images are fetched from the PACS" in said
