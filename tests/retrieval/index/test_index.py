"""Every index finds what brute force finds, in its order, whatever was added, replaced and removed before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retrieval.codes import hamming, identity_half
from retrieval.errors import CodeLengthMismatch, IndexInputInvalid
from retrieval.index import Candidates, ExactIndex, GalleryIndex, HnswIndex, HnswOptions, LshIndex, Ranked, rerank

DIM = 32
Maker = Callable[[], GalleryIndex]
KINDS: list[Maker] = [lambda: ExactIndex(DIM), lambda: HnswIndex(DIM), lambda: LshIndex(DIM)]
every_kind = pytest.mark.parametrize("make", KINDS, ids=["exact", "hnsw", "lsh"])


def people(count: int, images: int, seed: int = 0, dim: int = DIM) -> NDArray[np.float32]:
    """Embeddings of `images` images of each of `count` people, unit length, clustered like real ones."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, 1, dim)) / np.sqrt(dim)
    vectors = (centres + 0.4 * rng.normal(size=(count, images, dim)) / np.sqrt(dim)).reshape(-1, dim)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute_force(ids: NDArray[np.int64], vectors: NDArray[np.float32], probe: NDArray[np.float32], k: int) -> list[int]:
    cosines = vectors @ probe
    return [int(i) for i in ids[np.lexsort((ids, -cosines))][:k]]


@every_kind
def test_search_agrees_with_brute_force(make: Maker) -> None:
    vectors = people(600, 4)
    ids = np.random.default_rng(1).permutation(10_000)[: len(vectors)].astype(np.int64)
    index = make()
    index.add(ids, vectors)
    hits = 0
    for probe in people(600, 1, seed=2)[:100]:
        found = index.search(probe, 10)
        assert np.all(np.diff(found.cosines) <= 0)
        np.testing.assert_allclose(found.cosines, index.embeddings(found.ids) @ probe, atol=1e-5)
        hits += len(set(found.ids.tolist()) & set(brute_force(ids, vectors, probe, 10)))
    assert hits / 1000 >= (0.99 if isinstance(index, HnswIndex) else 1.0)


@every_kind
@pytest.mark.parametrize("removed", [[3], list(range(0, 60, 2)), list(range(60))])
def test_what_was_removed_is_not_saved_either(make: Maker, tmp_path: Path, removed: list[int]) -> None:
    index = make()
    index.add(np.arange(60), people(20, 3))
    vectors = index.embeddings(np.arange(60))
    index.remove(np.array(removed))
    index.save(tmp_path)
    saved = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert [number for number in range(60) if vectors[number].tobytes() in saved] == sorted({*range(60)} - {*removed})
    kept = index.ids
    assert [int(index.search(vectors[number], 1).ids[0]) for number in kept] == kept.tolist()


@every_kind
def test_every_image_finds_itself_first(make: Maker) -> None:
    vectors = people(300, 3)
    index = make()
    index.add(np.arange(len(vectors)), vectors)
    assert [int(index.search(v, 1).ids[0]) for v in vectors] == list(range(len(vectors)))


@every_kind
def test_an_empty_index_finds_nothing_and_a_small_one_all_it_has(make: Maker) -> None:
    index, vectors = make(), people(3, 1)
    assert len(index.search(vectors[0], 5)) == 0
    index.add(np.array([7, 8, 9]), vectors)
    assert sorted(index.search(vectors[0], 500).ids.tolist()) == [7, 8, 9]


@every_kind
def test_an_id_that_comes_again_is_replaced(make: Maker) -> None:
    vectors = people(40, 1)
    index = make()
    index.add(np.arange(40), vectors)
    index.add(np.array([5]), vectors[11:12])
    assert index.count == 40
    assert index.search(vectors[11], 2).ids.tolist() == [5, 11]
    assert 5 not in index.search(vectors[5], 1).ids


@every_kind
def test_it_grows_one_by_one_far_beyond_its_first_capacity(make: Maker) -> None:
    vectors = people(3000, 1)
    index = make()
    for number, vector in enumerate(vectors):
        index.add(np.array([number]), vector[None])
    assert index.count == 3000
    assert [int(index.search(v, 1).ids[0]) for v in vectors[::50]] == list(range(0, 3000, 50))


@every_kind
def test_removed_ids_never_come_back_and_their_room_is_used_again(make: Maker) -> None:
    vectors = people(2500, 1)
    index = make()
    index.add(np.arange(2500), vectors)
    index.remove(np.arange(0, 2500, 5))
    index.remove(np.array([0, 99_999]))
    gone = set(range(0, 2500, 5))
    for vector in vectors[:100]:
        assert not gone & set(index.search(vector, 50).ids.tolist())
    index.remove(np.arange(2400))
    assert index.ids.tolist() == [i for i in range(2400, 2500) if i % 5]
    assert sorted(index.search(vectors[0], 100).ids.tolist()) == index.ids.tolist()
    index.add(np.array([0]), vectors[:1])
    assert int(index.search(vectors[0], 1).ids[0]) == 0


@every_kind
def test_hundreds_of_equal_images_hide_nobody(make: Maker) -> None:
    """In a plain HNSW graph, 500 equal vectors link to each other alone and cut off a sixth of the others."""
    vectors = people(400, 2)
    equal = np.repeat(people(1, 1, seed=9), 500, axis=0)
    jitter = 1e-6 * np.random.default_rng(3).normal(size=equal.shape).astype(np.float32)
    index = make()
    for start in range(0, 500, 7):
        index.add(np.arange(start, min(start + 7, 500)), (equal + jitter)[start : start + 7])
    index.add(np.arange(1000, 1000 + len(vectors)), vectors)
    assert [int(index.search(v, 1).ids[0]) for v in vectors] == list(range(1000, 1000 + len(vectors)))
    found = index.search(equal[0], 500)
    assert sorted(found.ids.tolist()) == list(range(500))
    index.remove(np.arange(499))
    assert index.search(equal[0], 1).ids.tolist() == [499]


@every_kind
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.lists(st.integers(0, 12), min_size=1, max_size=5, unique=True)), max_size=25
    )
)
def test_any_order_of_adds_and_removes_is_what_a_dictionary_would_hold(
    make: Maker, steps: list[tuple[bool, list[int]]]
) -> None:
    vectors = people(6, 1)
    index = make()
    held: dict[int, NDArray[np.float32]] = {}
    for step, (adding, ids) in enumerate(steps):
        if adding:
            chosen = vectors[[(number + step) % 6 for number in ids]]
            index.add(np.array(ids), chosen)
            held.update(zip(ids, chosen, strict=True))
        else:
            index.remove(np.array(ids))
            for number in ids:
                held.pop(number, None)
        assert index.ids.tolist() == sorted(held)
        assert [number in index for number in range(13)] == [number in held for number in range(13)]
        found = index.search(vectors[0], 20)
        assert sorted(found.ids.tolist()) == sorted(held)
        for number, cosine in zip(found.ids.tolist(), found.cosines, strict=True):
            assert cosine == pytest.approx(float(held[number] @ vectors[0]), abs=1e-5)


@every_kind
def test_vectors_are_compared_by_direction_alone(make: Maker) -> None:
    vectors = people(5, 1)
    index = make()
    index.add(np.arange(5), vectors * np.array([[1], [2], [3], [4], [0.1]], np.float32))
    np.testing.assert_allclose(index.embeddings(np.arange(5)), vectors, atol=1e-6)
    assert index.search(7 * vectors[4], 1).cosines[0] == pytest.approx(1.0, abs=1e-6)


@every_kind
@pytest.mark.parametrize(
    ("ids", "embeddings"),
    [
        ([1, 1], np.ones((2, DIM), np.float32)),
        ([1, 2], np.ones((1, DIM), np.float32)),
        ([1], np.ones((1, DIM + 1), np.float32)),
        ([1], np.zeros((1, DIM), np.float32)),
        ([1], np.full((1, DIM), np.nan, np.float32)),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    make: Maker, ids: list[int], embeddings: NDArray[np.float32]
) -> None:
    index = make()
    with pytest.raises(IndexInputInvalid):
        index.add(np.array(ids), embeddings)
    assert index.count == 0
    with pytest.raises(IndexInputInvalid):
        index.embeddings(np.array([1]))


def test_the_graph_finds_many_with_a_narrow_search() -> None:
    vectors = people(2000, 1)
    index = HnswIndex(DIM, HnswOptions(m=4, ef_construction=16, ef_search=16))
    index.add(np.arange(2000), vectors)
    assert len(index.search(vectors[0], 1900)) == 1900


def test_a_bulk_build_on_all_cores_finds_as_well() -> None:
    vectors = people(5500, 2, dim=DIM)
    index = HnswIndex(DIM)
    index.add(np.arange(len(vectors)), vectors)
    assert np.mean([int(index.search(vectors[i], 1).ids[0]) == i for i in range(0, 11_000, 40)]) >= 0.99


def test_searching_while_adding_under_the_owners_lock_is_sound() -> None:
    vectors = people(1500, 1)
    index, lock = HnswIndex(DIM), threading.Lock()
    index.add(np.arange(10), vectors[:10])
    wrong: list[int] = []

    def look() -> None:
        for number in range(300):
            with lock:
                if int(index.search(vectors[number % 10], 1).ids[0]) != number % 10:
                    wrong.append(number)

    searching = threading.Thread(target=look)
    searching.start()
    for number in range(10, 1500):
        with lock:
            index.add(np.array([number]), vectors[number : number + 1])
    searching.join()
    assert not wrong and index.count == 1500


@pytest.mark.parametrize(
    ("ids", "cosines"), [([1, 1], [0.5, 0.4]), ([1, 2], [0.4, 0.5]), ([1, 2], [1.5, 0.5]), ([1], [0.5, 0.4])]
)
def test_impossible_candidates_cannot_be_made(ids: list[int], cosines: list[float]) -> None:
    with pytest.raises(IndexInputInvalid):
        Candidates(np.array(ids), np.array(cosines, np.float32))


def test_rerank_orders_by_hamming_distance_and_keeps_the_embedding_order_of_ties() -> None:
    candidates = Candidates(np.array([10, 11, 12, 13]), np.array([0.9, 0.8, 0.7, 0.6], np.float32))
    # First byte: identity half. Distances by hand to 0b00000000: 2, 1, 2, 0; the second byte must not count.
    codes = np.array([[0b11, 0], [0b1, 0xFF], [0b1010, 0], [0, 0xFF]], np.uint8)
    ranked = rerank(np.array([0, 0], np.uint8), candidates, codes, keep=3)
    assert ranked.ids.tolist() == [13, 11, 10]
    assert ranked.hammings.tolist() == [0, 1, 2]
    np.testing.assert_allclose(ranked.cosines, [0.6, 0.8, 0.9])
    assert len(rerank(np.array([0, 0], np.uint8), candidates, codes, keep=9)) == 4


def test_rerank_is_a_stable_sort_on_random_codes() -> None:
    rng = np.random.default_rng(5)
    codes, probe = rng.integers(0, 256, (100, 16), np.uint8), rng.integers(0, 256, 16, np.uint8)
    candidates = Candidates(np.arange(100), np.linspace(1, 0, 100, dtype=np.float32))
    distances = hamming(identity_half(codes), identity_half(probe))
    expected = sorted(range(100), key=lambda i: (distances[i], i))
    assert rerank(probe, candidates, codes, keep=20).ids.tolist() == expected[:20]


def test_codes_of_another_network_are_refused() -> None:
    candidates = Candidates(np.array([1]), np.array([0.5], np.float32))
    with pytest.raises(CodeLengthMismatch):
        rerank(np.zeros(8, np.uint8), candidates, np.zeros((1, 16), np.uint8), keep=1)
    with pytest.raises(IndexInputInvalid):
        rerank(np.zeros(16, np.uint8), candidates, np.zeros((2, 16), np.uint8), keep=1)


@pytest.mark.parametrize(
    ("cosines", "hammings"), [([0.5, 0.4], [2, 1]), ([0.4, 0.5], [1, 1]), ([0.5, 0.4], [1]), ([0.5], [1])]
)
def test_impossible_rankings_cannot_be_made(cosines: list[float], hammings: list[int]) -> None:
    with pytest.raises(IndexInputInvalid):
        Ranked(np.array([1, 2]), np.array(cosines, np.float32), np.array(hammings))
