"""Real images through the real pipeline: whichever index is configured, the verdicts are exactly the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from archive.database import Database, open_database
from archive.models import Alert, Code, Instance
from archive.states import ImageState
from config.paths import DataDir, data_dir
from config.settings import IndexOptions, load_settings
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.encoder import Encoder
from retrieval.evaluation.encodings import encode_all
from retrieval.index import ExactIndex, LshIndex, LshOptions
from tests.filed import add_code, file_image
from workers.index_owner import network_at_work, open_owner
from workers.match import match_image

PATIENTS = 45
# Every so many a new image is filed under the next patient.
SWAP = 4
# Fewer candidates than images, so that each index has something to decide.
FEW = {"candidates": 30, "keep": 20}
# Fewer than a quarter of them, found by which side of 64 planes they lie on: so coarse a table must miss some.
FEWER = {"candidates": 12, "keep": 12}
SIGNS = {"lsh_bits": 1, "lsh_tables": 64, "lsh_candidates": 12}


def chosen(shared: Path) -> list[ImageRow]:
    """Frontal images of test patients with at least two, in the order of patients."""
    rows = [row for row in read_manifest(shared / "data" / "manifest.csv", ["nih", "covid"]) if row.view != "L"]
    rows = [row for row in rows if row.split is Split.TEST]
    counts = {row.patient: sum(other.patient == row.patient for other in rows) for row in rows}
    several = list(dict.fromkeys(row.patient for row in rows if counts[row.patient] > 1))[:PATIENTS]
    return [row for patient in several for row in [row for row in rows if row.patient == patient][:3]]


@pytest.fixture(scope="module")
def archive(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> DataDir:
    """Encoded images of real patients: the last of each is new, some of these under another patient's name."""
    folder = data_dir(tmp_path_factory.mktemp("archive") / "data")
    folder.create()
    database = open_database(load_settings(folder.root, environ={}), folder)
    database.migrate()
    rows = chosen(shared)
    encoder = Encoder.load(device="cpu")
    encodings = encode_all(encoder, prepared_images(rows, folder.root / "prepared", quiet=True), "real images")
    patients = list(dict.fromkeys(row.patient for row in rows))
    last = {row.patient: number for number, row in enumerate(rows)}
    with database.write() as session:
        for number in sorted(range(len(rows)), key=lambda number: number in last.values()):
            label, is_new = rows[number].patient, number in last.values()
            if is_new and patients.index(label) % SWAP == 0:
                label = patients[(patients.index(label) + 1) % len(patients)]
            image = file_image(session, label, state=ImageState.ENCODED if is_new else ImageState.MATCHED)
            add_code(session, image, encodings.embedding[number], encodings.code[number], encoder.model_id)
    database.close()
    return folder


def verdicts(archive: DataDir, folder: DataDir, **options: int | str) -> list[tuple[object, ...]]:
    """Match every new image with an index of some kind; what is said of each, and the alerts."""
    shutil.copytree(archive.root, folder.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("prepared", "index"))
    settings = load_settings(folder.root, environ={})
    index = settings.index.model_dump() | options
    settings = settings.model_copy(update={"index": IndexOptions.model_validate(index)})
    database = open_database(settings, folder)
    owner = open_owner(database, settings, folder, network_at_work(settings))
    assert owner.index.kind == settings.index.kind
    with database.read() as session:
        new = session.scalars(select(Instance.id).where(Instance.state == ImageState.ENCODED).order_by(Instance.id))
        waiting = list(new)
    said = [match_image(owner, database, settings, number) for number in waiting]
    assert owner.index.count == len(owner.rows)
    owner.close()
    found = _written(database)
    database.close()
    assert len(said) == PATIENTS
    return found


def _written(database: Database) -> list[tuple[object, ...]]:
    with database.read() as session:
        images = session.execute(select(Instance.id, Instance.verdict, Instance.probability).order_by(Instance.id))
        columns = (Alert.key, Alert.kind, Alert.state, Alert.probability, Alert.patient_pk, Alert.other_instance_pk)
        alerts = session.execute(select(*columns).order_by(Alert.key))
        return [tuple(row) for row in (*images, *alerts)]


@pytest.fixture(scope="module")
def expected(archive: DataDir, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """What an exact search leads to; some verdicts are alerts."""
    folder = data_dir(tmp_path_factory.mktemp("exact") / "data")
    folder.create()
    found = verdicts(archive, folder, kind="exact", **FEW)
    assert len({row[1] for row in found if row[1]}) > 2
    return found


@pytest.mark.parametrize("kind", ["hnsw", "lsh", "milvus"])
def test_the_verdicts_are_those_of_an_exact_search(
    archive: DataDir, expected: list[tuple[object, ...]], folder: DataDir, tmp_path: Path, kind: str
) -> None:
    assert verdicts(archive, folder, kind=kind, milvus_url=str(tmp_path / "milvus.db"), **FEW) == expected


def test_tables_that_miss_candidates_leave_most_verdicts_as_they_are(
    archive: DataDir, folder: DataDir, tmp_path: Path
) -> None:
    """Whom an image is most like collides most often; what is missed is far, and seldom says anything."""
    other = data_dir(tmp_path / "exact")
    other.create()
    right = verdicts(archive, other, kind="exact", **FEWER)
    found = verdicts(archive, folder, kind="lsh", **SIGNS, **FEWER)
    said, expected = ({row[0]: row[1] for row in rows if isinstance(row[0], int)} for rows in (found, right))
    same = [said[number] == verdict for number, verdict in expected.items() if verdict]
    assert len(same) == PATIENTS
    assert sum(same) > 0.8 * len(same)


def test_such_tables_do_miss_candidates(archive: DataDir) -> None:
    """Else the test above would say nothing: a gallery of up to four times the candidates is compared whole."""
    database = open_database(load_settings(archive.root, environ={}), archive)
    with database.read() as session:
        wanted = select(Code.embedding).join(Instance, Instance.id == Code.instance_pk)
        matched = session.scalars(wanted.where(Instance.state == ImageState.MATCHED))
        vectors = np.stack([np.frombuffer(embedding, "<f4") for embedding in matched])
    database.close()
    k = FEWER["candidates"]
    narrow = LshIndex(vectors.shape[1], LshOptions(SIGNS["lsh_bits"], SIGNS["lsh_tables"], SIGNS["lsh_candidates"]))
    exact = ExactIndex(vectors.shape[1])
    for index in (narrow, exact):
        index.add(np.arange(len(vectors)), vectors)
    shares = [len(np.intersect1d(narrow.search(v, k).ids, exact.search(v, k).ids)) / k for v in vectors]
    assert len(vectors) > 4 * k
    assert 0.2 < np.mean(shares) < 0.95
