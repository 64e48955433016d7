from __future__ import annotations

import math

import numpy as np
import pytest

from retrieval.evaluation.search import search


def test_search_divides_by_all_that_is_relevant() -> None:
    """Query 0 has partners 1 and 2, ranked first and third: AP@2 = (1/1) / 2; the lone image 3 asks nothing."""
    patients = np.array([0, 0, 0, 1])
    similarity = np.zeros((4, 4))
    similarity[0] = [9, 0.9, 0.1, 0.5]
    similarity[1] = [0.9, 9, 0.8, 0.1]
    similarity[2] = [0.1, 0.2, 9, 0.9]
    found = search(similarity, patients)
    assert found.queries == 3
    assert found.precision_at_1 == pytest.approx(2 / 3)
    assert found.map_at_r == pytest.approx((0.5 + 1.0 + (1 / 2) / 2) / 3)
    assert found.r_precision == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert found.first_hit.tolist() == [1, 1, 2]
    assert [found.hit_at(k) for k in (1, 2, 3)] == [pytest.approx(2 / 3), 1.0, 1.0]


def test_images_never_find_themselves() -> None:
    similarity = np.eye(4)
    similarity[[0, 1, 2, 3], [1, 0, 3, 2]] = 0.5
    assert search(similarity, np.array([0, 1, 0, 1])).precision_at_1 == 0.0


def test_map_at_r_agrees_with_its_definition_on_random_lists() -> None:
    rng = np.random.default_rng(0)
    patients = rng.integers(8, size=40)
    similarity = rng.random((40, 40))
    expected = []
    for query in range(40):
        others = [i for i in np.argsort(-similarity[query]) if i != query]
        relevant = [patients[i] == patients[query] for i in others]
        r = sum(relevant)
        if r:
            expected.append(sum(sum(relevant[: k + 1]) / (k + 1) for k in range(r) if relevant[k]) / r)
    assert search(similarity, patients).map_at_r == pytest.approx(np.mean(expected))


def test_without_partners_there_is_nothing_to_report() -> None:
    found = search(np.eye(3), np.arange(3))
    assert found.queries == 0
    assert math.isnan(found.precision_at_1)
    assert math.isnan(found.map_at_r)
