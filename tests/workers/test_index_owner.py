"""The index is a cache of the database: whatever happens to it, at the next start it says what the database says."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from archive.database import Database
from archive.gallery import load_probe
from archive.models import Code, Instance
from archive.states import ImageState
from config.paths import DataDir
from config.settings import Settings
from retrieval.calibration import Calibration, calibration_beside
from retrieval.errors import IndexInputInvalid
from retrieval.index.snapshot import snapshots
from retrieval.verification import PREFIX
from retrieval.weights.card import find_weights, model_id_of, read_card
from tests.people import NETWORK, Crowd
from workers.index_owner import IndexOwned, IndexOwner, Network, network_at_work, open_owner
from workers.rows import GalleryRows

COUNT = 40


@pytest.fixture
def crowd(database: Database) -> Crowd:
    """Forty people with one matched image each."""
    made = Crowd()
    with database.write() as session:
        for person in range(COUNT):
            made.take(session, person, state=ImageState.MATCHED)
    return made


def add_one(owner: IndexOwner, database: Database, crowd: Crowd, person: int) -> int:
    with database.write() as session:
        number = crowd.take(session, person, state=ImageState.MATCHED).id
    with database.read() as session:
        probe = load_probe(session, number)
    assert probe is not None
    owner.add(probe)
    return number


def ready(caplog: pytest.LogCaptureFixture) -> str:
    """The last line that says what the index was made of."""
    return [record.getMessage() for record in caplog.records if "index ready" in record.getMessage()][-1]


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_without_a_snapshot_all_comes_from_the_database(
    crowd: Crowd, database: Database, settings: Settings, folder: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    owner = open_owner(database, settings, folder, NETWORK)
    assert owner.index.count == len(owner.rows) == owner.rows.person_count == COUNT
    assert f"0 from the snapshot, {COUNT} from the database" in ready(caplog)
    owner.close()


def test_after_a_clean_stop_all_comes_from_the_snapshot(
    crowd: Crowd, database: Database, settings: Settings, folder: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    open_owner(database, settings, folder, NETWORK).close()
    owner = open_owner(database, settings, folder, NETWORK)
    assert owner.index.count == COUNT
    assert f"{COUNT} from the snapshot, 0 from the database" in ready(caplog)
    assert not owner.snapshot()
    owner.close()


def test_what_changed_meanwhile_is_made_up_for(
    crowd: Crowd, database: Database, settings: Settings, folder: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    open_owner(database, settings, folder, NETWORK).close()
    with database.write() as session:
        session.get_one(Code, 1).model_id = "older"
        new = crowd.take(session, 99, state=ImageState.MATCHED).id
        session.get_one(Instance, 2).patient_pk = session.get_one(Instance, 3).patient_pk
    owner = open_owner(database, settings, folder, NETWORK)
    assert owner.index.ids.tolist() == [*range(2, COUNT + 1), new]
    assert owner.rows.images_of(owner.persons_of(np.array([2]))[0]) == 2
    assert f"{COUNT - 1} from the snapshot, 1 from the database" in ready(caplog)
    assert "1 images have codes of other weights" in caplog.text
    owner.close()


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "garbage"])
def test_a_damaged_snapshot_is_said_in_the_log_and_the_index_rebuilt(
    crowd: Crowd,
    database: Database,
    settings: Settings,
    folder: DataDir,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    open_owner(database, settings, folder, NETWORK).close()
    (snapshot,) = snapshots(folder.index)
    graph = snapshot / "graph.bin"
    content = graph.read_bytes()
    graph.write_bytes(
        {"cut": content[: len(content) // 2], "empty": b"", "gone": b"", "garbage": content[::-1]}[damage]
    )
    if damage == "gone":
        graph.unlink()
    owner = open_owner(database, settings, folder, NETWORK)
    assert "rebuilt from the database" in caplog.text
    assert f"0 from the snapshot, {COUNT} from the database" in ready(caplog)
    owner.close()
    open_owner(database, settings, folder, NETWORK).close()
    assert f"{COUNT} from the snapshot" in ready(caplog)


def test_a_snapshot_of_other_weights_or_of_another_kind_is_not_used(
    crowd: Crowd, database: Database, settings: Settings, folder: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    open_owner(database, settings, folder, NETWORK).close()
    exact = settings.model_copy(update={"index": settings.index.model_copy(update={"kind": "exact"})})
    open_owner(database, exact, folder, NETWORK).close()
    assert f"0 from the snapshot, {COUNT} from the database" in ready(caplog)
    other = Network("newer", NETWORK.dim, NETWORK.bits, NETWORK.comparer)
    owner = open_owner(database, exact, folder, other)
    assert owner.index.count == 0
    owner.close()


def test_snapshots_are_written_as_the_gallery_grows(
    crowd: Crowd, database: Database, settings: Settings, folder: DataDir
) -> None:
    often = settings.model_copy(update={"index": settings.index.model_copy(update={"snapshot_every": 5})})
    owner = open_owner(database, often, folder, NETWORK)
    first = snapshots(folder.index)
    for person in range(4):
        add_one(owner, database, crowd, person)
    assert snapshots(folder.index) == first
    add_one(owner, database, crowd, 5)
    assert len(snapshots(folder.index)) == 1 and snapshots(folder.index) != first
    owner.close()


def test_a_snapshot_that_cannot_be_written_stops_nothing(
    crowd: Crowd, database: Database, settings: Settings, folder: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    owner = open_owner(database, settings, folder, NETWORK)
    folder.index.rmdir()
    folder.index.write_text("in the way")
    number = add_one(owner, database, crowd, 1)
    assert not owner.snapshot()
    assert "goes on without a new snapshot" in caplog.text and number in owner.index
    owner.close()


def test_images_are_found_by_several_threads_while_others_join(
    crowd: Crowd, database: Database, settings: Settings, folder: DataDir
) -> None:
    """hnswlib must not be searched while it takes an image or moves its memory; here it grows past its first room."""
    owner = open_owner(database, settings, folder, NETWORK)
    ids = np.arange(1, COUNT + 1)
    vectors = owner.embeddings(ids)
    wrong: list[int] = []
    done = threading.Event()

    def look(offset: int) -> None:
        for turn in range(100_000):
            row = (turn + offset) % COUNT
            if int(owner.search(vectors[row], 1).ids[0]) != ids[row]:
                wrong.append(row)
            if done.is_set():
                return

    threads = [threading.Thread(target=look, args=(7 * number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    others = Crowd(seed=1)
    for start in range(1000, 3000, 100):
        with owner._lock:
            owner.index.add(np.arange(start, start + 100), np.stack([others.embedding(start + i) for i in range(100)]))
    added = [add_one(owner, database, crowd, person) for person in range(100, 105)]
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong and all(number in owner.index for number in added)
    owner.close()


def test_an_image_that_joins_twice_is_there_once(
    crowd: Crowd, database: Database, settings: Settings, folder: DataDir
) -> None:
    owner = open_owner(database, settings, folder, NETWORK)
    number = add_one(owner, database, crowd, 1)
    with database.read() as session:
        probe = load_probe(session, number)
    assert probe is not None
    owner.add(probe)
    assert owner.index.count == len(owner.rows) == COUNT + 1
    assert owner.rows.images_of(probe.person) == 2
    assert owner.other_persons(probe) == COUNT - 1
    owner.close()


def test_there_is_one_owner_and_the_next_one_waits_for_it(
    crowd: Crowd, database: Database, settings: Settings, folder: DataDir
) -> None:
    owner = open_owner(database, settings, folder, NETWORK)
    with pytest.raises(IndexOwned, match="only one may"):
        open_owner(database, settings, folder, NETWORK, wait_seconds=0.2)
    threading.Timer(0.5, owner.close).start()
    open_owner(database, settings, folder, NETWORK, wait_seconds=60).close()


def test_a_killed_owner_leaves_the_index_free(
    crowd: Crowd, database: Database, settings: Settings, folder: DataDir
) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from archive.database import open_database\n"
        "from config.paths import data_dir\n"
        "from config.settings import load_settings\n"
        "from tests.people import NETWORK\n"
        "from workers.index_owner import open_owner\n"
        "folder = data_dir(sys.argv[1])\n"
        "settings = load_settings(folder.root, environ={})\n"
        "open_owner(open_database(settings, folder), settings, folder, NETWORK)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    died = subprocess.run([sys.executable, "-c", code, str(folder.root)], cwd=root, check=False)
    assert died.returncode == -9
    owner = open_owner(database, settings, folder, NETWORK, wait_seconds=1)
    assert owner.index.count == COUNT
    owner.close()


def test_the_network_at_work_is_known_without_loading_it(settings: Settings) -> None:
    network = network_at_work(settings)
    assert network.comparer.calibration.model_id == network.model_id
    assert network.comparer.calibration.identity_bits == network.bits // 2


def test_a_verification_head_in_the_weight_file_is_at_work(settings: Settings, tmp_path: Path) -> None:
    shipped = find_weights("default")
    weights = tmp_path / "own.safetensors"
    dim = read_card(shipped).dim
    head = {"layers.0.weight": np.full((1, dim), -0.5, np.float32), "layers.0.bias": np.ones(1, np.float32)}
    save_file(load_file(shipped) | {PREFIX + name: value for name, value in head.items()}, weights)
    weights.with_suffix(".toml").write_bytes(shipped.with_suffix(".toml").read_bytes())
    calibration = Calibration.load(calibration_beside(shipped))
    fusion = replace(calibration.fusion, verification=2.0)
    replace(calibration, model_id=model_id_of(weights), fusion=fusion).save(calibration_beside(weights))
    own = settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"weights": str(weights)})})
    network = network_at_work(own)
    assert network.comparer.verifier is not None
    one, other = np.eye(2, dim, dtype=np.float32)
    codes = np.zeros((2, network.bits // 8), np.uint8)
    found = network.comparer.compare(one, codes[0], np.stack([one, other]), codes)
    # Two coordinates differ by 1, each counts -0.5 · √dim, the bias 1: by hand.
    population = calibration.population
    normalised = (np.array([1.0, 0.0]) - population.mean) / population.deviation
    expected = fusion.cosine * normalised + 2.0 * np.array([1.0, 1.0 - np.sqrt(dim)])
    assert found.log_ratio == pytest.approx(calibration.log_likelihood_ratio(expected), abs=1e-4)


def test_rows_grow_and_count_persons() -> None:
    rows = GalleryRows(code_bytes=2)
    for start in range(0, 5000, 500):
        ids = np.arange(start, start + 500)
        rows.add(ids, ids % 7, np.stack([ids % 256, ids // 256], axis=1).astype(np.uint8))
    assert len(rows) == 5000 and rows.person_count == 7 and rows.images_of(3) == 714
    persons, codes = rows.at(np.array([4999, 3]))
    assert persons.tolist() == [4999 % 7, 3] and codes.tolist() == [[4999 % 256, 4999 // 256], [3, 0]]
    rows.add(np.array([3]), np.array([99]), np.zeros((1, 2), np.uint8))
    assert len(rows) == 5000 and rows.images_of(3) == 713 and rows.images_of(99) == 1
    assert 4999 in rows and 5000 not in rows


def test_rows_that_leave_are_gone_and_the_others_keep_what_is_theirs() -> None:
    rows = GalleryRows(code_bytes=4)
    ids = np.arange(100, 3100)
    codes = np.random.default_rng(0).integers(0, 256, (3000, 4), dtype=np.uint8)
    rows.add(ids, ids % 10, codes)
    rows.remove(np.array([100, 3099, 5, 200, 200]))
    left = np.setdiff1d(ids, [100, 3099, 200])
    assert len(rows) == 2997 and sorted(rows.ids.tolist()) == left.tolist() and 200 not in rows
    persons, kept = rows.at(left)
    assert np.array_equal(persons, left % 10) and np.array_equal(kept, codes[left - 100])
    assert rows.images_of(0) == 298 and np.bincount(rows.persons).tolist() == [298, *[300] * 8, 299]
    assert rows.findings.nearest(codes[7, 2:], rows.ids, 1).hammings.tolist() == [0]
    rows.remove(left)
    assert len(rows) == rows.person_count == 0


@pytest.mark.parametrize(("ids", "length"), [([1, 1], 4), ([1, 2], 2)])
def test_rows_that_do_not_fit_are_refused_and_change_nothing(ids: list[int], length: int) -> None:
    rows = GalleryRows(code_bytes=4)
    with pytest.raises(IndexInputInvalid):
        rows.add(np.array(ids), np.array([7, 7]), np.zeros((2, length), np.uint8))
    assert len(rows) == rows.person_count == 0
