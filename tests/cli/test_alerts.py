"""`lungprint alerts`: exactly the fields that other programs rely on, and filters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archive.database import Database
from archive.states import AlertKind, AlertState
from cli.alerts import command
from config.paths import DataDir
from tests.archive.filing import file_alert, file_image, file_patient


def run(folder: DataDir, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(folder.root)])


def ask(folder: DataDir, *arguments: str) -> list[dict[str, Any]]:
    done = run(folder, "--json", *arguments)
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture
def two_alerts(database: Database) -> None:
    with database.write() as session:
        one = file_image(session, file_patient(session, "P1"))
        other = file_image(session, file_patient(session, "P2"))
        file_alert(session, one, other, AlertKind.WRONG_PATIENT, 0.7)
        file_alert(session, other, None, AlertKind.PRIOR_MISMATCH, 0.9, AlertState.HELD)


@pytest.mark.usefixtures("two_alerts")
def test_an_alert_has_exactly_these_fields(folder: DataDir) -> None:
    found = ask(folder, "--kind", "wrong_patient")
    assert len(found) == 1
    assert list(found[0]) == [
        "id",
        "kind",
        "probability",
        "patient_id",
        "sop_instance_uid",
        "other_patient_id",
        "other_sop_instance_uid",
        "state",
        "created",
        "severity",
    ]
    assert (found[0]["patient_id"], found[0]["other_patient_id"]) == ("P1", "P2")
    assert (found[0]["probability"], found[0]["state"]) == (0.7, "open")


@pytest.mark.usefixtures("two_alerts")
def test_the_most_probable_comes_first_and_may_have_no_rival(folder: DataDir) -> None:
    assert [(a["probability"], a["other_patient_id"]) for a in ask(folder)] == [(0.9, None), (0.7, "P2")]


@pytest.mark.usefixtures("two_alerts")
def test_alerts_are_chosen_by_state_and_kind(folder: DataDir) -> None:
    assert [a["kind"] for a in ask(folder, "--state", "open")] == ["wrong_patient"]
    assert [a["kind"] for a in ask(folder, "--state", "open", "--state", "held")] == ["prior_mismatch", "wrong_patient"]
    assert ask(folder, "--state", "open", "--kind", "prior_mismatch") == []


@pytest.mark.usefixtures("two_alerts")
def test_people_get_a_table(folder: DataDir) -> None:
    output = run(folder).output
    assert "70.0%" in output
    assert "P2" in output


@pytest.mark.usefixtures("database")
def test_no_alerts_is_an_answer_not_an_error(folder: DataDir) -> None:
    assert ask(folder) == []
    assert run(folder).output == "No alerts.\n"


@pytest.mark.usefixtures("database")
def test_a_kind_that_does_not_exist_is_wrong_usage(folder: DataDir) -> None:
    done = run(folder, "--kind", "wrong")
    assert done.exit_code == 2
    assert "duplicate_record" in done.output
