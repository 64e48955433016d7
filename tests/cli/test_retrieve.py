"""`lungprint retrieve`: days are noted once, worked off here or by the system, and what failed is said."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select, update

from archive.database import Database
from archive.models import Instance, RetrievedDay
from archive.states import SearchState
from cli.outcome import InputNotUsable
from cli.retrieve import command
from config.paths import DataDir
from tests.dicom_node.pacs import TITLE, dcmqrscp
from tests.listening import radiograph
from tests.ports import free_port

DAY = date(2024, 2, 29)


def run(folder: DataDir, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(folder.root)])


def ask(folder: DataDir, *arguments: str) -> dict[str, Any]:
    done = run(folder, "--from", f"{DAY - timedelta(days=2)}", "--until", str(DAY), "--json", *arguments)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def configure(folder: DataDir, port: int, retrieve: str = "get") -> None:
    (folder.root / "lungprint.toml").write_text(
        f'[dicom]\npeers = [{{ ae_title = "{TITLE}", address = "127.0.0.1", port = {port} }}]\nmin_free_mib = 0\n'
        f'[priors]\npeer = "{TITLE}"\nretrieve = "{retrieve}"\nseries_per_minute = 6000\n'
    )


def test_days_are_fetched_here_and_now(folder: DataDir, database: Database, tmp_path: Path) -> None:
    images = [radiograph(number, StudyID="1", SeriesNumber=1, StudyDate=f"{DAY:%Y%m%d}") for number in range(3)]
    with dcmqrscp(tmp_path / "pacs", images, free_port()) as port:
        configure(folder, port)
        assert ask(folder) == {"added": 3, "pending": 3, "done": 0, "dead": 0, "series": 0}
        assert ask(folder, "--now") == {"added": 0, "pending": 0, "done": 3, "dead": 0, "series": 3}
    with database.read() as session:
        assert session.scalar(select(func.count(Instance.id))) == 3


def test_a_pacs_that_is_away_is_said_and_tried_later(folder: DataDir, database: Database) -> None:
    configure(folder, free_port())
    done = run(folder, "--from", str(DAY), "--until", str(DAY), "--now")
    assert done.exit_code == 0 and "cannot be reached" in done.stderr
    assert "fetches the other 1 in the hours 20:00-06:00" in done.stdout


def test_days_that_were_given_up_are_said_and_asked_for_again(folder: DataDir, database: Database) -> None:
    configure(folder, free_port())
    ask(folder)
    with database.write() as session:
        session.execute(update(RetrievedDay).values(state=SearchState.DEAD))
    assert ask(folder)["added"] == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--from", "2024-03-01", "--until", "2024-02-01"], "ask for 1 to"), (["--from", "2024-01-01"], "priors.peer")],
)
def test_what_cannot_be_done_is_one_sentence(
    folder: DataDir, database: Database, arguments: list[str], text: str
) -> None:
    found = run(folder, *arguments).exception
    assert isinstance(found, InputNotUsable) and text in str(found)
