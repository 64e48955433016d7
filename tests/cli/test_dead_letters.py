"""`lungprint dead-letters`: what was given up, and another try."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from archive.database import Database
from archive.models import Instance
from archive.states import ImageState
from cli.dead_letters import command
from config.paths import DataDir
from tests.archive.filing import file_image, file_patient


def run(folder: DataDir, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(folder.root)])


def file(database: Database, *states: ImageState) -> list[int]:
    with database.write() as session:
        patient = file_patient(session, "P1")
        return [file_image(session, patient, state=s, reason="no memory", attempts=5).id for s in states]


def states(database: Database) -> list[ImageState]:
    with database.read() as session:
        return [instance.state for instance in session.query(Instance).order_by(Instance.id)]


def test_only_what_was_given_up_is_listed_with_its_reason(folder: DataDir, database: Database) -> None:
    _, failed = file(database, ImageState.MATCHED, ImageState.FAILED)
    rows = json.loads(run(folder, "list", "--json").stdout)
    assert [(row["id"], row["reason"], row["attempts"]) for row in rows] == [(failed, "no memory", 5)]
    assert "no memory" in run(folder, "list").output


def test_none_is_an_answer(folder: DataDir, database: Database) -> None:
    assert run(folder, "list").output == "No dead letters.\n"


def test_all_are_tried_again_and_nothing_else(folder: DataDir, database: Database) -> None:
    file(database, ImageState.MATCHED, ImageState.FAILED, ImageState.UNSUITABLE, ImageState.FAILED)
    assert run(folder, "retry", "--all").exit_code == 0
    assert states(database) == [
        ImageState.MATCHED,
        ImageState.RECEIVED,
        ImageState.UNSUITABLE,
        ImageState.RECEIVED,
    ]


def test_one_is_tried_again_by_its_id(folder: DataDir, database: Database) -> None:
    first, _ = file(database, ImageState.FAILED, ImageState.FAILED)
    assert run(folder, "retry", str(first)).exit_code == 0
    assert states(database) == [ImageState.RECEIVED, ImageState.FAILED]


def test_an_id_that_is_no_dead_letter_is_told(folder: DataDir, database: Database) -> None:
    (matched,) = file(database, ImageState.MATCHED)
    done = run(folder, "retry", str(matched))
    assert done.exit_code == 1
    assert "1 are no dead letters" in done.output
    assert states(database) == [ImageState.MATCHED]


def test_nothing_is_tried_again_unasked(folder: DataDir, database: Database) -> None:
    file(database, ImageState.FAILED)
    assert run(folder, "retry").exit_code != 0
    assert states(database) == [ImageState.FAILED]
