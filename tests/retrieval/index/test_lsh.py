"""Tables of buckets: the right images collide, nothing is lost by removing, sorting and growing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.errors import SnapshotInvalid
from retrieval.index import ExactIndex, LshIndex, LshOptions
from retrieval.index import lsh as module

DIM = 32
NARROW = LshOptions(bits=8, tables=16, candidates=100)


def crowd(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Pairs of images: 2i and 2i + 1 show one person, cosine about 0.9."""
    rng = np.random.default_rng(seed)
    people = np.repeat(rng.normal(size=(count // 2, DIM)), 2, axis=0)
    vectors = people + 0.35 * rng.normal(size=(count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_few_candidates_hold_the_partner_and_are_in_exact_order() -> None:
    vectors = crowd(6000)
    narrow, exact = LshIndex(DIM, NARROW), ExactIndex(DIM)
    narrow.add(np.arange(6000), vectors)
    exact.add(np.arange(6000), vectors)
    partners = 0
    for number in range(0, 600, 2):
        found = narrow.search(vectors[number], 5)
        partners += int(found.ids[1]) == number + 1
        assert int(found.ids[0]) == number and len(found) == 5
        np.testing.assert_allclose(found.cosines, exact.embeddings(found.ids) @ vectors[number], atol=1e-6)
    # One bit agrees with probability 1 - acos(0.9)/pi = 0.856, a bucket with 0.856 ** 8 = 0.29, one of 16 with 0.996.
    assert partners / 300 > 0.98


def test_candidates_are_those_that_share_most_buckets() -> None:
    vectors = crowd(3000)
    index = LshIndex(DIM, LshOptions(bits=4, tables=8, candidates=50))
    index.add(np.arange(3000), vectors)
    planes = index._planes.reshape(DIM, 8, 4)
    sides = np.einsum("nd,dtb->ntb", vectors, planes) > 0
    for number in range(20):
        collisions = (sides == sides[number]).all(axis=2).sum(axis=1)
        order = np.lexsort((np.arange(3000), -collisions))[:50]
        found = index.search(vectors[number], 50)
        assert set(found.ids.tolist()) == set(order.tolist())


def test_one_bucket_of_half_the_gallery_misses_the_probe_itself() -> None:
    """With one bit and one table all in the bucket collide as often, and the first of them are compared, no other."""
    vectors = crowd(4000)
    index, exact = LshIndex(DIM, LshOptions(bits=1, tables=1, candidates=50)), ExactIndex(DIM)
    for known in (index, exact):
        known.add(np.arange(4000), vectors)
    assert int(exact.search(vectors[3999], 1).ids[0]) == 3999
    assert 3999 not in index.search(vectors[3999], 50).ids


def test_a_gallery_of_four_times_the_candidates_is_compared_whole() -> None:
    vectors = crowd(200)
    index, exact = LshIndex(DIM, LshOptions(bits=16, tables=1, candidates=50)), ExactIndex(DIM)
    for known in (index, exact):
        known.add(np.arange(200), vectors)
    assert all(index.search(v, 10).ids.tolist() == exact.search(v, 10).ids.tolist() for v in vectors)


def test_nearby_buckets_are_joined_in_where_too_few_collide() -> None:
    vectors = crowd(2000)
    index = LshIndex(DIM, LshOptions(bits=16, tables=1, candidates=200))
    index.add(np.arange(2000), vectors)
    assert len(index.search(vectors[0], 200)) == 200
    assert len(index.search(vectors[0], 1500)) == 1500


def test_images_are_found_before_and_after_they_are_sorted_into_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TAIL", 50)
    vectors = crowd(4000)
    index = LshIndex(DIM, NARROW)
    rng = np.random.default_rng(1)
    left: set[int] = set()
    for start in range(0, 4000, 40):
        index.add(np.arange(start, start + 40), vectors[start : start + 40])
        left.update(range(start, start + 40))
        leaving = rng.choice(sorted(left), 15, replace=False)
        index.remove(leaving)
        left -= set(leaving.tolist())
        present = sorted(left)[-3:]
        assert [int(index.search(vectors[i], 1).ids[0]) for i in present] == present
        assert not set(leaving.tolist()) & set(index.search(vectors[leaving[0]], 100).ids.tolist())
    assert index.ids.tolist() == sorted(left)
    # Holes are closed as they become many.
    assert index._rows < 1.3 * len(left)


def test_the_stored_index_is_the_same_one(tmp_path: Path) -> None:
    vectors = crowd(3000)
    index, again = LshIndex(DIM, NARROW), LshIndex(DIM, NARROW)
    index.add(np.arange(3000), vectors)
    index.remove(np.arange(0, 3000, 7))
    index.save(tmp_path)
    again.load(tmp_path)
    assert again.ids.tolist() == index.ids.tolist()
    for number in range(30):
        one, other = index.search(vectors[number], 20), again.search(vectors[number], 20)
        assert one.ids.tolist() == other.ids.tolist()
    with pytest.raises(SnapshotInvalid):
        LshIndex(DIM + 1).load(tmp_path)
