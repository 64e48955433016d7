"""What is known to go wrong with hnswlib, and does not here; a save that fails silently is in test_snapshot."""

from __future__ import annotations

from pathlib import Path

import hnswlib
import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.index import ExactIndex, HnswIndex
from retrieval.index.snapshot import load_snapshot, write_snapshot

DIM = 24
# Nodes that the graph has room for at first.
FIRST = 1024


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(count, DIM))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def test_the_library_itself_refuses_to_grow() -> None:
    """Why `_reserve` exists: without it, the image after the last place is lost with an exception."""
    graph = hnswlib.Index("ip", DIM)
    graph.init_index(10)
    with pytest.raises(RuntimeError, match="exceeds"):
        graph.add_items(vectors(11), num_threads=1)


@pytest.mark.parametrize("count", [FIRST - 1, FIRST, FIRST + 1])
def test_a_full_graph_grows_also_after_it_was_loaded(count: int, tmp_path: Path) -> None:
    given = vectors(count + 20)
    index, again = HnswIndex(DIM), HnswIndex(DIM)
    index.add(np.arange(count), given[:count])
    load_snapshot(again, "hnsw", "model", write_snapshot(index, "hnsw", "model", tmp_path))
    for grown in (index, again):
        for number in range(count, count + 20):
            grown.add(np.array([number]), given[number : number + 1])
        assert grown.count == count + 20
        assert [int(grown.search(given[i], 1).ids[0]) for i in range(count + 20)] == list(range(count + 20))


def test_a_neighbourhood_that_was_removed_hides_nobody_behind_it() -> None:
    """hnswlib gives up when it meets too many deleted nodes; the search is then widened until enough are found."""
    given = vectors(2500)
    index, exact = HnswIndex(DIM), ExactIndex(DIM)
    for known in (index, exact):
        known.add(np.arange(2500), given)
    near = exact.search(given[0], 600).ids
    for known in (index, exact):
        known.remove(near)
    found, expected = index.search(given[0], 20), exact.search(given[0], 20)
    assert len(found) == 20 and not set(found.ids.tolist()) & set(near.tolist())
    assert len(set(found.ids.tolist()) & set(expected.ids.tolist())) >= 18


def test_nothing_is_found_when_all_were_removed() -> None:
    given = vectors(300)
    index = HnswIndex(DIM)
    index.add(np.arange(300), given)
    index.remove(np.arange(300))
    assert index.count == 0 and len(index.search(given[0], 10)) == 0
    index.add(np.array([5]), given[5:6])
    assert index.search(given[0], 10).ids.tolist() == [5]


def test_an_image_is_not_found_where_it_was_before_it_was_replaced() -> None:
    given = vectors(400)
    index = HnswIndex(DIM)
    index.add(np.arange(200), given[:200])
    for _ in range(8):
        index.add(np.arange(200), given[200:])
        index.add(np.arange(200), given[:200])
    index.add(np.arange(200), given[200:])
    for number in range(200):
        assert int(index.search(given[200 + number], 1).ids[0]) == number
        found = index.search(given[number], 200)
        mine = found.cosines[found.ids == number]
        assert mine == pytest.approx(float(given[number] @ given[200 + number]), abs=1e-5)


def test_a_narrow_search_is_as_wide_as_what_is_asked_for() -> None:
    index = HnswIndex(DIM)
    index.add(np.arange(900), vectors(900))
    index.ef_search = 10
    assert len(index.search(vectors(1, 3)[0], 700)) == 700
