"""`lungprint similar`: the exact scan of the database, and the answer of a running system, which are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from archive.database import open_database
from archive.models import Patient
from cli.similar import command
from config.paths import data_dir
from config.settings import load_settings
from dicom_node.sender import send
from tests.cli.conftest import Films
from tests.system.running import RunningSystem


def ask(root: Path, *arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(command, [*arguments, "--json", "--data-dir", str(root)])
    assert done.exit_code in (0, 1), done.output + str(done.exception)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, films: Films) -> Iterator[RunningSystem]:
    """A system that has seen three images of two persons."""
    running = RunningSystem(tmp_path_factory.mktemp("similar") / "data")
    running.start()
    items = [films.folder / name for name in ("a1.dcm", "a2.dcm", "b1.dcm")]
    assert all(result.stored for result in send(items, "127.0.0.1", running.dicom_port, "LUNGPRINT"))
    running.wait_until_settled(3)
    yield running
    running.close()


@pytest.mark.parametrize("by", ["findings", "person"])
def test_a_running_system_and_the_database_give_one_answer(system: RunningSystem, films: Films, by: str) -> None:
    arguments = (films["a1.png"], "-k", "3", "--by", by)
    asked = ask(system.root, *arguments)
    if by == "findings":
        said = system.root / "run" / "system.json"
        said.rename(said.with_suffix(".away"))
        scanned = ask(system.root, *arguments)
        said.with_suffix(".away").rename(said)
    else:
        system.stop()
        scanned = ask(system.root, *arguments)
        system.start()
    assert len(asked) == 3
    assert [row["instance"] for row in asked] == [row["instance"] for row in scanned]
    for one, other in zip(asked, scanned, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_the_same_image_is_the_most_similar(system: RunningSystem, films: Films) -> None:
    found = ask(system.root, films["a1.png"], "--by", "person", "-k", "1")
    assert found[0]["patient_id"] == "A"
    assert found[0]["cosine"] > 0.98
    assert found[0]["probability"] > 0.9


def test_an_empty_gallery_finds_nothing(tmp_path: Path, films: Films) -> None:
    folder = data_dir(tmp_path / "data")
    folder.create()
    database = open_database(load_settings(folder.root, environ={}), folder)
    database.migrate()
    with database.write() as session:
        session.add(Patient(patient_id="A", issuer=""))
    database.close()
    done = CliRunner().invoke(command, [films["a1.png"], "--data-dir", str(folder.root)])
    assert (done.exit_code, done.stdout) == (1, "The gallery is empty.\n")
    done = CliRunner().invoke(command, [films["lateral.dcm"], "--data-dir", str(folder.root)])
    assert "cannot be compared" in str(done.exception)
