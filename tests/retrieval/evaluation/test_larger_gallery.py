"""The simulated gallery: its draws have the distribution of real draws, its evidence stays the evidence."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.comparison import Comparer
from retrieval.evaluation.larger_gallery import Impostors, enlarged, measured
from retrieval.normalisation import Strangers
from retrieval.verdict import Evidence, Person
from tests.calibrations import straight

# A score is its own log ratio here.
CALIBRATION = straight("m", 64, 0.0, 1.0, lowest=-2.0, highest=20.0)
SCORES = np.sort(np.random.default_rng(0).uniform(-1.0, 1.0, 5_000))
RARITIES = np.sort(CALIBRATION.tail.share_above(SCORES))
IMPOSTORS = Impostors({"s": RARITIES}, RARITIES, CALIBRATION)


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
    direct = np.array([IMPOSTORS.best_of("s", strangers, 3, rng) for _ in range(4_000)])
    drawn = np.sort(rng.choice(SCORES, (4_000, strangers)), axis=1)[:, ::-1][:, :3]
    assert np.all(np.diff(direct, axis=1) <= 0)
    # Not the mean: the tail reaches beyond what can be drawn from so few.
    quarters = [0.25, 0.5, 0.75]
    scale = np.std(drawn, axis=0)
    apart = (np.quantile(direct, quarters, axis=0) - np.quantile(drawn, quarters, axis=0)) / scale
    assert np.abs(apart).max() < 0.12


def test_more_strangers_look_more_alike() -> None:
    rng = np.random.default_rng(2)
    best = [np.mean([IMPOSTORS.best_of("s", n, 1, rng) for _ in range(200)]) for n in (10, 1_000, 100_000)]
    assert best[0] < best[1] < best[2]


def test_beyond_the_most_alike_pair_the_tail_is_extrapolated() -> None:
    rng = np.random.default_rng(4)
    best = np.array([IMPOSTORS.best_of("s", 5_000_000, 1, rng)[0] for _ in range(2_000)])
    # A thousand times more strangers than pairs: the tail falls by e for each unit, and the largest is Gumbel.
    expected = SCORES[-1] + np.log(1_000) + np.euler_gamma
    assert best.mean() == pytest.approx(expected, abs=0.1)
    assert best.std() == pytest.approx(np.pi / np.sqrt(6), abs=0.1)


def test_no_stranger_is_more_alike_than_the_calibration_can_say() -> None:
    rng = np.random.default_rng(5)
    capped = Impostors({}, RARITIES, straight("m", 64, 0.0, 1.0, lowest=-2.0, highest=1.5))
    assert capped.best_of("s", 10_000_000, 3, rng).tolist() == [1.5] * 3


def test_no_more_are_returned_than_there_are() -> None:
    rng = np.random.default_rng(3)
    assert len(IMPOSTORS.best_of("s", 2, 50, rng)) == 2
    assert len(IMPOSTORS.best_of("s", 0, 50, rng)) == 0
    assert len(Impostors({}, np.empty(0), CALIBRATION).best_of("s", 10, 50, rng)) == 0


def test_a_small_stratum_borrows_from_all() -> None:
    impostors = Impostors({"few": np.array([0.5]), "many": RARITIES}, RARITIES, CALIBRATION)
    assert impostors.rarities("few") is RARITIES
    assert impostors.rarities("unknown") is RARITIES
    assert impostors.rarities("many") is RARITIES


def test_only_different_persons_of_one_stratum_are_compared() -> None:
    embedding, code = people(12)
    persons = np.array([0, 0, 1, 1, 2, 2] * 2)
    strata = ["a"] * 6 + ["b"] * 6
    found = measured(comparer(), embedding, code, persons, strata, np.random.default_rng(0))
    gallery = Strangers.of(embedding, persons)

    def rarity(i: int, j: int) -> float:
        one = slice(j, j + 1)
        compared = comparer().compare(
            embedding[i], code[i], embedding[one], code[one], gallery, int(persons[i]), persons[one]
        )
        return float(compared.rarity[0])

    expected = np.sort([rarity(i, j) for i in range(6) for j in range(i + 1, 6) if persons[i] != persons[j]])
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
