"""`lungprint similar`: the exact scan of the database, and the answer of a running system, which are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from archive.database import Database, open_database
from archive.models import Patient
from cli.encoding import encode_file, load_encoder
from cli.similar import command
from cli.sources import Source
from config.paths import DataDir, data_dir
from config.settings import Settings, load_settings
from dicom_node.sender import send
from tests.cli.conftest import Films
from tests.filed import add_code, file_image
from tests.system.running import RunningSystem


def ask(root: Path, *arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(command, [*arguments, "--json", "--data-dir", str(root)])
    assert done.exit_code in (0, 1) and isinstance(done.exception, SystemExit | None), repr(done.exception)
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


def test_an_image_that_is_stored_upside_down_is_said_to_be(system: RunningSystem, films: Films, tmp_path: Path) -> None:
    turned = tmp_path / "turned.png"
    with Image.open(films["a1.png"]) as picture:
        picture.rotate(180).save(turned)
    for file, told in ((films["a1.png"], False), (str(turned), True)):
        done = CliRunner().invoke(command, [file, "-k", "1", "--json", "--data-dir", str(system.root)])
        assert ("was turned by 180° before it was compared" in done.stderr) == told
        assert json.loads(done.stdout)[0]["patient_id"] == "A"


@pytest.fixture
def filed(database: Database, folder: DataDir, settings: Settings, films: Films) -> Path:
    """A system that is not running, with the films of two persons: two of A, a woman, and one of B."""
    encoder = load_encoder(settings)
    with database.write() as session:
        for name in ("a1", "a2", "b1"):
            image = file_image(session, name[0].upper())
            image.series.study.acquired_at = datetime(2020 + int(name[1]), 1, 1, tzinfo=UTC)
            image.patient.sex = "F" if name[0] == "a" else "M"
            encoded = encode_file(Source(name, Path(films[f"{name}.dcm"])), encoder, settings)
            add_code(session, image, encoded.embedding, encoded.code, encoder.model_id)
    return folder.root


def test_a_search_of_the_database_can_be_narrowed_and_turned(filed: Path, films: Films) -> None:
    def patients(*arguments: str) -> list[str]:
        return [row["patient_id"] for row in ask(filed, films["a1.dcm"], "--by", "person", *arguments)]

    assert patients() == ["A", "A", "B"]
    assert patients("--other-patients") == ["B"]
    assert patients("--sex", "M") == ["B"]
    assert patients("--since", "2022-01-01") == ["A"]
    assert patients("--until", "2021-06-30", "--sex", "F") == ["A"]
    assert patients("-k", "2", "--page", "2") == ["B"]
    assert patients("-k", "2", "--page", "3") == []
    assert {row["patient_id"] for row in ask(filed, films["b1.dcm"], "--other-patients")} == {"A"}


def test_what_cannot_be_asked_is_refused_in_plain_words(filed: Path, films: Films) -> None:
    for arguments, said in (
        (("--since", "yesterday"), "YYYY-MM-DD"),
        (("--age-from", "old"), "whole years"),
        (("--sex", "woman"), "F, M, O"),
    ):
        done = CliRunner().invoke(command, [films["a1.dcm"], *arguments, "--data-dir", str(filed)])
        assert said in str(done.exception)
    done = CliRunner().invoke(command, [films["a1.png"], "--other-patients", "--data-dir", str(filed)])
    assert "names no patient" in str(done.exception)
    done = CliRunner().invoke(command, [films["a1.dcm"], "--sex", "O", "--data-dir", str(filed)])
    assert (done.exit_code, done.stdout) == (1, "No image of the gallery fits.\n")


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
