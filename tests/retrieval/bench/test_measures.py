from __future__ import annotations

import numpy as np
import pytest

from retrieval.bench import measures
from retrieval.bench.measures import MEASURES, cosine, jaccard, minus_l1, minus_l2

FIRST = np.array([[3.0, 4.0, 0.0], [1.0, 0.0, 1.0]], np.float32)
SECOND = np.array([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]], np.float32)


def test_cosine_by_hand() -> None:
    assert np.allclose(cosine(FIRST, SECOND), [[9 / 25, 0], [7 / (5 * np.sqrt(2)), 0]], atol=1e-6)


def test_l1_and_l2_by_hand() -> None:
    assert np.allclose(minus_l1(FIRST, SECOND), [[-8, -7], [-5, -2]])
    assert np.allclose(minus_l2(FIRST, SECOND), [[-np.sqrt(32), -5], [-np.sqrt(13), -np.sqrt(2)]], atol=1e-5)


def test_jaccard_by_hand() -> None:
    assert np.allclose(jaccard(FIRST, SECOND), [[3 / 11, 0], [2 / 7, 0]], atol=1e-6)
    assert jaccard(SECOND[1:], SECOND[1:]) == 1
    assert np.allclose(jaccard(np.array([[-5.0, 2.0]], np.float32), np.array([[1.0, 2.0]], np.float32)), 2 / 3)


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_each_is_a_similarity_and_blocks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.abs(np.random.default_rng(0).normal(size=(7, 5))).astype(np.float32)
    whole = MEASURES[name](rows, rows)
    assert (whole.argmax(axis=1) == np.arange(7)).all()
    assert np.allclose(whole, whole.T, atol=1e-6)
    monkeypatch.setattr(measures, "_AT_ONCE", 40)
    assert np.allclose(MEASURES[name](rows, rows), whole, atol=1e-6)
