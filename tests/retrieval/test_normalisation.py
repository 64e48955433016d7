"""Cosines in deviations above strangers, worked out by hand; the choice of strangers does not depend on luck."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval import normalisation
from retrieval.errors import CalibrationInvalid
from retrieval.normalisation import (
    KNOWN_BEFORE,
    NEAREST,
    NOBODY,
    Held,
    Population,
    Strangers,
    chosen,
    levels,
    symmetric,
)

POPULATION = Population(0.1, 0.2)
EYE = np.eye(3, dtype=np.float32)


def test_without_strangers_the_population_stands_for_them() -> None:
    found = levels(EYE[:2], np.array([1, 2]), None, POPULATION)
    assert found.mean.tolist() == [0.1, 0.1] and found.deviation.tolist() == [0.2, 0.2]
    assert symmetric(np.array([0.5, 0.1]), found, found) == pytest.approx([2.0, 0.0])


def test_levels_by_hand_with_ones_own_person_left_out() -> None:
    strangers = Strangers(EYE, np.array([1, 2, 3]))
    found = levels(EYE[:1], np.array([1]), strangers, POPULATION)
    # Of the cosines with persons 2 and 3, a quarter is one, 0; what is known before counts for as large a part.
    before = NEAREST * KNOWN_BEFORE
    assert found.mean[0] == pytest.approx(before * 0.1 / (1 + before))
    assert found.deviation[0] == pytest.approx(np.sqrt(before * 0.04 / (1 + before)))
    everybody = levels(EYE[:1], np.array([NOBODY]), strangers, POPULATION)
    assert everybody.mean[0] == pytest.approx((1.0 + before * 0.1) / (1 + before))


def test_the_person_compared_with_is_no_stranger() -> None:
    held = Held.of(EYE[:2], np.array([NOBODY, 2]), Strangers(EYE, np.array([1, 2, 3])), POPULATION)
    found = held.beside(np.array([0, 1]), np.array([1, 1]))
    before = NEAREST * KNOWN_BEFORE
    assert found.mean == pytest.approx([before * 0.1 / (1 + before)] * 2)


def test_beside_a_person_is_as_if_the_gallery_never_held_them() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(90, 6))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    persons = np.arange(90) // 2
    gallery = Strangers(vectors[::2][:30], persons[::2][:30])
    rows, others = rng.integers(0, 90, 60), rng.integers(0, 45, 60)
    found = Held.of(vectors, persons, gallery, POPULATION).beside(rows, others)
    for place, (row, other) in enumerate(zip(rows, others, strict=True)):
        rest = gallery.persons != other
        without = Strangers(gallery.embeddings[rest], gallery.persons[rest])
        alone = levels(vectors[row : row + 1], persons[row : row + 1], without, POPULATION)
        assert found.mean[place] == pytest.approx(alone.mean[0])
        assert found.deviation[place] == pytest.approx(alone.deviation[0])


def test_the_nearest_quarter_of_the_strangers_counts_by_hand() -> None:
    angles = np.arccos(np.array([0.9, 0.7, 0.5, 0.1, 0.0, -0.2, -0.4, -0.6]))
    strangers = Strangers(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), np.arange(8))
    found = levels(np.array([[1, 0]], np.float32), np.array([NOBODY]), strangers, POPULATION)
    before = NEAREST * KNOWN_BEFORE
    assert found.mean[0] == pytest.approx((0.9 + 0.7 + before * 0.1) / (2 + before), abs=1e-6)
    assert found.deviation[0] == pytest.approx(np.sqrt((2 * 0.1**2 + before * 0.04) / (2 + before)), abs=1e-6)
    without = levels(np.array([[1, 0]], np.float32), np.array([0]), strangers, POPULATION)
    assert without.mean[0] == pytest.approx((0.7 + 0.5 + before * 0.1) / (2 + before), abs=1e-6)


def test_a_minority_is_held_against_its_like() -> None:
    rng = np.random.default_rng(0)
    # Two kinds of images: a few of one, many of the other; within a kind strangers are more alike.
    kind = np.array([0] * 60 + [1] * 180)
    vectors = rng.normal(size=(240, 64)) + 6 * np.eye(64)[kind]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    strangers = Strangers(vectors[::2], np.arange(0, 240, 2))
    found = levels(vectors, np.arange(240), strangers, Population(0.2, 0.1))
    first, second = 1, 3
    cosine = vectors[first] @ vectors[second]
    assert abs(found.chosen(np.array([first])).scores(np.array([cosine]))[0]) < 3


@pytest.mark.parametrize("block", [1, 7, 20])
def test_how_many_images_are_in_memory_at_once_changes_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    persons = np.arange(20) // 2
    strangers = Strangers.of(vectors, persons)
    whole = levels(vectors, persons, strangers, POPULATION)
    monkeypatch.setattr(normalisation, "_BLOCK", block)
    found = levels(vectors, persons, strangers, POPULATION)
    assert found.mean == pytest.approx(whole.mean, abs=1e-6)
    assert found.deviation == pytest.approx(whole.deviation, abs=1e-6)


def test_both_images_count_the_same() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    strangers = Strangers(vectors[2:], np.arange(2, 40))
    one, other = (levels(vectors[i : i + 1], np.array([i]), strangers, POPULATION) for i in (0, 1))
    cosine = np.array([0.4])
    assert symmetric(cosine, one, other) == pytest.approx(symmetric(cosine, other, one))


def test_strangers_are_one_image_of_each_person_and_the_same_in_any_order() -> None:
    rng = np.random.default_rng(0)
    persons = rng.integers(1, 500, 2000)
    ids = np.arange(2000)
    found = chosen(persons, ids, most=100)
    assert len(found) == len(np.unique(persons[found])) == 100
    assert all(ids[row] == ids[persons == persons[row]].min() for row in found)
    order = rng.permutation(2000)
    again = chosen(persons[order], ids[order], most=100)
    assert ids[order][again].tolist() == ids[found].tolist()


def test_few_strangers_change_when_the_gallery_grows() -> None:
    small, large = np.arange(1, 1001), np.arange(1, 1101)
    before, after = (set(persons[chosen(persons, persons, 100)]) for persons in (small, large))
    assert len(before & after) > 80


def test_population_gives_every_group_the_same_weight() -> None:
    near = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    far = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    found = Population.measured([(near, np.arange(3)), (np.repeat(far, 2, axis=0), np.repeat(np.arange(3), 2))])
    # The nearest of two strangers: 1 in the first group, 0 in the second.
    assert found.mean == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(CalibrationInvalid):
        Population.measured([(near, np.zeros(3, np.int64))])
