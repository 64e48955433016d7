"""The simulated gallery: its draws have the distribution of real draws, its evidence stays the evidence."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.comparison import Comparer
from retrieval.evaluation.larger_gallery import Impostors, enlarged, measured
from retrieval.normalisation import Strangers
from retrieval.verdict import Evidence, Person
from tests.calibrations import straight

SCORES = np.sort(np.random.default_rng(0).normal(-3.0, 1.0, 5_000))


def comparer() -> Comparer:
    return Comparer(straight("m", 64, -2.0, 8.0, -2.0, -4.0, 6.0), None)


def people(images: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    embedding = rng.normal(size=(images, 16)).astype(np.float32)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    return embedding, rng.integers(0, 256, (images, 16)).astype(np.uint8)


@pytest.mark.parametrize("strangers", [5, 300])
def test_the_best_of_many_are_distributed_as_when_all_are_drawn(strangers: int) -> None:
    rng = np.random.default_rng(1)
    impostors = Impostors({"s": SCORES}, SCORES)
    direct = np.array([impostors.best_of("s", strangers, 3, rng) for _ in range(4_000)])
    drawn = np.sort(rng.choice(SCORES, (4_000, strangers)), axis=1)[:, ::-1][:, :3]
    assert np.all(np.diff(direct, axis=1) <= 0)
    assert direct.mean(axis=0) == pytest.approx(drawn.mean(axis=0), abs=0.06)
    assert direct.std(axis=0) == pytest.approx(drawn.std(axis=0), abs=0.05)


def test_more_strangers_look_more_alike() -> None:
    rng = np.random.default_rng(2)
    impostors = Impostors({"s": SCORES}, SCORES)
    best = [np.mean([impostors.best_of("s", n, 1, rng) for _ in range(200)]) for n in (10, 1_000, 100_000)]
    assert best[0] < best[1] < best[2] <= SCORES[-1]


def test_no_more_are_returned_than_there_are() -> None:
    impostors = Impostors({"s": SCORES}, SCORES)
    rng = np.random.default_rng(3)
    assert len(impostors.best_of("s", 2, 50, rng)) == 2
    assert len(impostors.best_of("s", 0, 50, rng)) == 0
    assert len(Impostors({}, np.empty(0)).best_of("s", 10, 50, rng)) == 0


def test_a_small_stratum_borrows_from_all() -> None:
    few = np.array([9.0])
    impostors = Impostors({"few": few, "many": SCORES}, SCORES)
    assert impostors.scores("few") is SCORES
    assert impostors.scores("unknown") is SCORES
    assert impostors.scores("many") is SCORES


def test_only_different_persons_of_one_stratum_are_compared() -> None:
    embedding, code = people(12)
    persons = np.array([0, 0, 1, 1, 2, 2] * 2)
    strata = ["a"] * 6 + ["b"] * 6
    found = measured(comparer(), embedding, code, persons, strata, np.random.default_rng(0))
    gallery = Strangers.of(embedding, persons)

    def ratio(i: int, j: int) -> float:
        one = slice(j, j + 1)
        compared = comparer().compare(
            embedding[i], code[i], embedding[one], code[one], gallery, int(persons[i]), persons[one]
        )
        return float(compared.log_ratio[0])

    expected = np.sort([ratio(i, j) for i in range(6) for j in range(i + 1, 6) if persons[i] != persons[j]])
    assert found.of_stratum["a"] == pytest.approx(expected, abs=1e-5)
    assert len(found.everywhere) == 2 * len(expected)
    assert np.all(np.diff(found.everywhere) >= 0)


def test_evidence_keeps_the_most_alike_and_counts_the_gallery() -> None:
    own = Person(1, np.array([2.0]))
    evidence = Evidence(own, (Person(2, np.array([5.0])), Person(3, np.array([-1.0]))), 2)
    larger = enlarged(evidence, np.array([4.0, 3.0]), 1_000, keep=3)
    assert larger.own is own
    assert [person.log_ratio for person in larger.ranked] == [5.0, 4.0, 3.0]
    assert larger.ranked[0].number == 2
    assert larger.other_persons == 1_000
