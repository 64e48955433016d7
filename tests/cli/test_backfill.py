"""`lungprint backfill`: existing folders, once, with a count of what became of each file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import select

from archive.database import Database, open_database
from archive.models import Instance
from archive.states import ImageState
from cli.backfill import command
from config.paths import DataDir
from config.settings import Settings
from tests.cli.conftest import Films


def run(folder: DataDir, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(folder.root)])


def ask(folder: DataDir, *paths: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(folder, "--json", *paths).stdout)
    return found


def test_radiographs_are_taken_in_and_the_rest_is_refused_with_a_reason(folder: DataDir, films: Films) -> None:
    found = ask(folder, str(films.folder))
    assert (found["stored"], found["refused"], found["failed"]) == (4, 3, 0)
    assert sum(found["reasons"].values()) == 3


def test_a_second_run_passes_over_what_was_dealt_with(folder: DataDir, films: Films, database: Database) -> None:
    ask(folder, str(films.folder))
    found = ask(folder, str(films.folder))
    assert (found["stored"], found["passed_over"]) == (0, 7)
    with database.read() as session:
        assert [image.state for image in session.scalars(select(Instance))] == [ImageState.RECEIVED] * 4


def test_a_system_is_made_where_there_is_none(tmp_path: Path, films: Films, settings: Settings) -> None:
    fresh = DataDir(tmp_path / "fresh")
    done = run(fresh, films["a1.dcm"])
    assert done.exit_code == 0
    assert "not running" in done.output
    opened = open_database(settings, fresh)
    with opened.read() as session:
        assert len(session.scalars(select(Instance)).all()) == 1
    opened.close()


def test_an_empty_folder_is_said(folder: DataDir, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no files" in str(run(folder, str(tmp_path / "empty")).exception)
