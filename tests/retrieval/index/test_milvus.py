"""The Milvus index against a real engine, Milvus Lite: it holds what it was given, also after a restart."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.errors import IndexInputInvalid, IndexUnavailable, SnapshotInvalid
from retrieval.index import ExactIndex, MilvusIndex, MilvusOptions
from retrieval.index.snapshot import load_snapshot, snapshots, write_snapshot

DIM = 32


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file that Milvus Lite keeps its collections in."""
    return str(tmp_path_factory.mktemp("milvus") / "gallery.db")


@pytest.fixture
def options(engine: str, request: pytest.FixtureRequest) -> MilvusOptions:
    """A collection of the test's own."""
    return MilvusOptions(engine, request.node.name)


@pytest.fixture
def index(options: MilvusOptions) -> Iterator[MilvusIndex]:
    made = MilvusIndex(DIM, options)
    yield made
    made.close()


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(count, DIM))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def test_it_finds_what_an_exact_search_finds(index: MilvusIndex) -> None:
    given, exact = vectors(5000), ExactIndex(DIM)
    ids = np.random.default_rng(1).permutation(9000)[:5000].astype(np.int64)
    for known in (index, exact):
        known.add(ids, given)
    hits = 0
    for probe in vectors(50, seed=2):
        found, expected = index.search(probe, 10), exact.search(probe, 10)
        hits += len(set(found.ids.tolist()) & set(expected.ids.tolist()))
        np.testing.assert_allclose(found.cosines, exact.embeddings(found.ids) @ probe, atol=1e-5)
    assert hits / 500 >= 0.99
    assert index.count == 5000 and index.ids.tolist() == sorted(ids.tolist())
    np.testing.assert_allclose(index.embeddings(ids[:2500]), given[:2500], atol=1e-6)


def test_removed_images_never_come_back_and_replaced_ones_are_the_new(index: MilvusIndex) -> None:
    given = vectors(300)
    assert len(index.search(given[0], 5)) == 0
    index.add(np.arange(300), given)
    index.add(np.arange(300), given)
    index.remove(np.array([*range(0, 300, 3), 9999]))
    index.add(np.array([7]), given[:1])
    assert index.count == 200 and 0 not in index and 7 in index
    found = index.search(given[0], 300)
    assert sorted(found.ids.tolist()) == index.ids.tolist() and int(found.ids[0]) == 7
    assert len(index.search(given[1], 4)) == 4


def test_the_collection_outlives_the_process(options: MilvusOptions, tmp_path: Path) -> None:
    first = MilvusIndex(DIM, options)
    first.add(np.arange(50), vectors(50))
    write_snapshot(first, "milvus", "model", tmp_path)
    first.remove(np.array([3]))
    first.close()
    again = MilvusIndex(DIM, options)
    assert again.ids.tolist() == [i for i in range(50) if i != 3]
    # The snapshot is older than the collection, and the collection is right.
    with pytest.raises(SnapshotInvalid, match="holds 49 images instead of 50"):
        load_snapshot(again, "milvus", "model", snapshots(tmp_path)[0])
    written = write_snapshot(again, "milvus", "model", tmp_path)
    load_snapshot(again, "milvus", "model", written)
    assert again.count == 49
    again.close()


def test_a_snapshot_of_another_collection_is_refused(
    options: MilvusOptions, index: MilvusIndex, tmp_path: Path
) -> None:
    index.save(tmp_path)
    other = MilvusIndex(DIM, MilvusOptions(options.url, options.collection + "_2"))
    with pytest.raises(SnapshotInvalid, match="another collection"):
        other.load(tmp_path)
    other.close()


def test_embeddings_of_another_length_are_refused(options: MilvusOptions, index: MilvusIndex) -> None:
    with pytest.raises(IndexInputInvalid, match="does not hold embeddings of 33 numbers"):
        MilvusIndex(DIM + 1, options)
    with pytest.raises(IndexInputInvalid):
        index.add(np.array([1]), vectors(1)[:, :-1])
    with pytest.raises(IndexInputInvalid, match="not in the index"):
        index.embeddings(np.array([1]))


def test_a_cluster_that_does_not_answer_is_named_in_one_sentence() -> None:
    with pytest.raises(IndexUnavailable, match=r"index\.milvus_url"):
        MilvusIndex(DIM, MilvusOptions("http://127.0.0.1:1", "gallery"))


def test_the_missing_package_is_named(options: MilvusOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(IndexUnavailable, match="pip install"):
        MilvusIndex(DIM, options)
