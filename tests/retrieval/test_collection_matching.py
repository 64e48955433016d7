"""Collection matching against brute force, pair by pair."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from retrieval import collection_matching
from retrieval.collection_matching import Matches, alike, compare_pairs, unlabelled
from retrieval.comparison import Comparer
from retrieval.errors import IndexInputInvalid, TooManyPairs
from retrieval.normalisation import NOBODY, Population, Strangers, levels
from retrieval.tail import Draw, ImpostorTail
from tests.calibrations import straight

COMPARER = Comparer(straight("m", 64, -2.0, 8.0, -2.0, -4.0, 6.0), None)


@dataclass(frozen=True)
class Images:
    embedding: npt.NDArray[np.float32]
    code: npt.NDArray[np.uint8]


def images(n: int, seed: int) -> Images:
    rng = np.random.default_rng(seed)
    embedding = rng.normal(size=(n, 8)).astype(np.float32)
    return Images(embedding / np.linalg.norm(embedding, axis=1, keepdims=True), rng.integers(0, 256, (n, 16), np.uint8))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_matching, "ROWS", 7)
    monkeypatch.setattr(collection_matching, "COLUMNS", 11)


@pytest.mark.parametrize("least", [-1.0, 0.0, 0.6, 1.0])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 11), (8, 12), (20, 50)])
def test_blocks_find_what_brute_force_finds(n: int, m: int, least: float) -> None:
    first, second = images(n, 1).embedding, images(m, 2).embedding
    blocks = list(alike(first, second, least, "cpu"))
    assert len(blocks) == -(-n // 7)
    found = [pair for rows, columns in blocks for pair in zip(rows.tolist(), columns.tolist(), strict=True)]
    close = {(i, j): float(first[i] @ second[j]) for i, j in product(range(n), range(m))}
    assert found == sorted(found)
    assert {pair for pair, cosine in close.items() if cosine >= least + 1e-6} <= set(found)
    assert all(close[pair] >= least - 1e-6 for pair in found)


def test_pairs_are_compared_as_single_images_are() -> None:
    first, second = images(9, 1), images(10, 2)
    rows, columns = np.array([0, 0, 3, 8]), np.array([1, 9, 4, 0])
    found = compare_pairs(COMPARER, first, second, rows, columns)
    for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
        one = COMPARER.compare(first.embedding[i], first.code[i], second.embedding[j : j + 1], second.code[j : j + 1])
        assert (found.first[k], found.second[k]) == (i, j)
        assert found.cosine[k] == pytest.approx(one.cosine[0], abs=1e-6)
        assert found.hamming[k] == one.hamming[0]
        assert found.log_ratio[k] == pytest.approx(one.log_ratio[0], abs=1e-5)
        assert found.probability[k] == pytest.approx(one.probability[0], abs=1e-6)


def test_no_image_is_held_against_itself() -> None:
    first, second = images(3, 1), images(4, 2)
    everybody = np.concatenate([first.embedding, second.embedding])
    strangers = Strangers(everybody, np.arange(7))
    found = compare_pairs(COMPARER, first, second, np.array([1]), np.array([2]), strangers, offset=3)
    alone = COMPARER.compare(
        first.embedding[1], first.code[1], second.embedding[2:3], second.code[2:3], strangers, 1, np.array([5])
    )
    without = COMPARER.compare(
        first.embedding[1], first.code[1], second.embedding[2:3], second.code[2:3], strangers, NOBODY
    )
    assert found.log_ratio.tolist() == alone.log_ratio.tolist()
    assert alone.normalised[0] != without.normalised[0]


def test_nothing_alike_gives_no_pairs() -> None:
    nothing = np.empty(0, np.int64)
    assert len(compare_pairs(COMPARER, images(3, 1), images(3, 2), nothing, nothing)) == 0
    assert len(Matches.joined([])) == 0


def matches() -> Matches:
    ratio = np.array([1.0, 3.0, 3.0, 2.0, 3.0])
    return Matches(
        np.array([0, 0, 1, 0, 1]),
        np.array([5, 6, 7, 8, 2]),
        np.array([0.1, 0.5, 0.9, 0.3, 0.9], np.float32),
        np.array([1, 2, 3, 4, 5]),
        ratio,
        1 / (1 + np.exp(-ratio)),
    )


def test_the_most_probable_pair_comes_first_then_the_higher_cosine_then_the_row() -> None:
    assert matches().best_first().second.tolist() == [2, 7, 6, 8, 5]


@pytest.mark.parametrize(("k", "kept"), [(1, [2, 6]), (2, [2, 7, 6, 8]), (9, [2, 7, 6, 8, 5])])
def test_each_image_keeps_its_most_probable_partners(k: int, kept: list[int]) -> None:
    top = matches().top(k)
    assert top.second.tolist() == kept
    assert top.hamming.tolist() == [dict(zip(matches().second, matches().hamming, strict=True))[s] for s in kept]


def test_a_threshold_that_separates_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_matching, "MOST_PARTNERS", 10)
    with pytest.raises(TooManyPairs, match="raise it"):
        list(alike(images(5, 1).embedding, images(40, 2).embedding, -1.0, "cpu"))


def test_vectors_of_two_networks_are_refused() -> None:
    with pytest.raises(IndexInputInvalid, match="one network"):
        list(alike(images(5, 1).embedding, np.ones((4, 9), np.float32), 0.0, "cpu"))


def test_other_images_of_a_person_do_not_stand_in_for_strangers() -> None:
    rng = np.random.default_rng(0)
    persons = np.repeat(np.arange(20), 2)
    vectors = rng.normal(size=(20, 64))[persons] + 0.25 * rng.normal(size=(40, 64))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    population = Population(0.15, 0.1)
    comparer = Comparer(straight("m", 64, 0.0, 1.0, population=population), None)
    chosen = unlabelled(vectors, comparer)
    # Of two persons one pair in 256 has a score of 1 + ln 25.6, which is so many deviations above the mean.
    assert chosen.apart == pytest.approx(0.15 + 0.1 * (1 + np.log(25.6)), abs=1e-6)
    right = levels(vectors, persons, Strangers(vectors, persons), population)
    found = levels(vectors, np.arange(40), chosen, population)
    assert found.mean == pytest.approx(right.mean, abs=1e-6)
    assert found.deviation == pytest.approx(right.deviation, abs=1e-6)
    taken = levels(vectors, np.arange(40), Strangers(vectors, np.arange(40)), population)
    assert (taken.mean > found.mean + 0.01).all()


def test_where_two_persons_are_never_rarely_alike_everybody_is_a_stranger() -> None:
    tail = ImpostorTail((-1.0, 1.0), (1.0, 0.5), (Draw(0.5, 0.0, 1e6),))
    comparer = Comparer(straight("m", 64, 0.0, 1.0, tail=tail), None)
    assert unlabelled(images(5, 1).embedding, comparer).apart == np.inf
