"""`lungprint purge`: shows first, removes when told to, and the index forgets too, whether it runs or not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from sqlalchemy import select

from archive.database import Database
from archive.leftovers import vectors_left
from archive.links import Author
from archive.models import Instance
from archive.purge import Subject, purge
from archive.states import PurgeKind
from cli.purge import command
from config.paths import DataDir
from config.settings import Settings
from tests.archive.filing import file_image, file_patient
from tests.filed import add_code
from workers.index_owner import IndexOwner, network_at_work, open_owner

COUNT = 30


def run(folder: DataDir, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(folder.root)])


@pytest.fixture
def owner(database: Database, settings: Settings, folder: DataDir) -> IndexOwner:
    """The owner of an index of images of DOE (the first) and of others, with a snapshot on the disk."""
    network = network_at_work(settings)
    vectors = np.random.default_rng(0).normal(size=(COUNT, network.dim)).astype(np.float32)
    with database.write() as session:
        for number, vector in enumerate(vectors):
            image = file_image(session, file_patient(session, f"P{number}" if number else "DOE"))
            add_code(session, image, vector, np.zeros(network.bits // 8, np.uint8), network.model_id)
    opened = open_owner(database, settings, folder)
    opened.snapshot()
    return opened


@pytest.fixture
def vectors(owner: IndexOwner) -> NDArray[np.float32]:
    """The embeddings as the index holds them, in the order of filing."""
    return owner.index.embeddings(owner.index.ids)


def snapshot_bytes(folder: DataDir) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.index.rglob("*")) if path.is_file())


def test_nothing_is_removed_until_it_is_said(owner: IndexOwner, folder: DataDir, database: Database) -> None:
    owner.close()
    shown = run(folder, "--patient", "DOE")
    assert shown.exit_code == 0 and "Nothing was removed; add --yes" in shown.output
    assert json.loads(run(folder, "--patient", "DOE", "--json").stdout) == {
        "found": dict.fromkeys(("patients", "studies", "images", "codes"), 1)
        | dict.fromkeys(("versions", "alerts", "decisions", "quarantined"), 0),
        "removed": False,
        "finished_earlier": 0,
        "vectors_left": 0,
    }
    with database.read() as session:
        assert len(session.scalars(select(Instance.id)).all()) == COUNT


def test_the_snapshot_of_an_index_that_does_not_run_forgets(
    owner: IndexOwner, vectors: NDArray[np.float32], folder: DataDir, database: Database, settings: Settings
) -> None:
    owner.close()
    assert vectors[0].tobytes() in snapshot_bytes(folder)
    done = run(folder, "--patient", "DOE", "--yes")
    assert done.exit_code == 0 and "Removed." in done.output
    left = snapshot_bytes(folder)
    assert vectors[0].tobytes() not in left and vectors[1].tobytes() in left
    again = open_owner(database, settings, folder)
    assert again.index.count == len(again.rows) == COUNT - 1
    again.close()
    assert run(folder, "--patient", "DOE").exit_code == 1


def test_an_index_that_runs_forgets_when_it_catches_up(
    owner: IndexOwner, vectors: NDArray[np.float32], folder: DataDir, database: Database
) -> None:
    done = run(folder, "--patient", "DOE", "--yes")
    assert done.exit_code == 1 and "the index has not forgotten it yet" in done.output
    owner.catch_up()
    assert owner.index.count == len(owner.rows) == COUNT - 1
    assert vectors[0].tobytes() not in snapshot_bytes(folder)
    with database.read() as session:
        assert vectors_left(session) == 0
    owner.close()


def test_a_purge_that_was_interrupted_is_finished_first(
    owner: IndexOwner, vectors: NDArray[np.float32], folder: DataDir, database: Database
) -> None:
    owner.close()
    purge(database, Subject(PurgeKind.PATIENT, "DOE"), Author("admin"), b"k")
    done = run(folder, "--patient", "DOE", "--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert (report["finished_earlier"], report["vectors_left"], any(report["found"].values())) == (1, 0, False)
    assert vectors[0].tobytes() not in snapshot_bytes(folder)


def test_refused_files_that_name_the_patient_go_too(folder: DataDir, database: Database) -> None:
    named = b"\x10\x00\x20\x00LO\x04\x00DOE "
    for name, content in (("a.dcm", b"torn" + named), ("b.dcm", b"\x10\x00\x20\x00\x04\x00\x00\x00DOE ")):
        (folder.quarantine / name).write_bytes(content)
    (folder.quarantine / "c.dcm").write_bytes(named.replace(b"DOE ", b"DOEL"))
    assert run(folder, "--patient", "DOE", "--yes").exit_code == 0
    assert [path.name for path in folder.quarantine.iterdir()] == ["c.dcm"]


@pytest.mark.parametrize("arguments", [(), ("--patient", "A", "--study", "1.2"), ("--study", "1.2", "--issuer", "H")])
def test_one_subject_is_named(folder: DataDir, database: Database, arguments: tuple[str, ...]) -> None:
    assert run(folder, *arguments).exit_code != 0
