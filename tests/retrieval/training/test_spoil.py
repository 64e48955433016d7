from __future__ import annotations

import numpy as np
import pytest

from retrieval.data.phantoms import phantom_images
from retrieval.gate import Seen, detail
from retrieval.training.spoil import spoil

KINDS = (Seen.TURNED, Seen.INVERTED, Seen.PARTIAL, Seen.POOR, Seen.OTHER)


@pytest.fixture(scope="module")
def chests() -> np.ndarray:
    return phantom_images(6, 1, seed=5)[:, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_spoiling_leaves_no_image_as_it_was(kind: Seen, chests: np.ndarray) -> None:
    spoiled = spoil(chests, kind, np.random.default_rng(0))
    assert spoiled.shape == chests.shape and spoiled.dtype == np.uint8
    assert all(np.abs(a.astype(int) - b).mean() > 5 for a, b in zip(chests, spoiled, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_spoils_alike(kind: Seen, chests: np.ndarray) -> None:
    first, second = (spoil(chests, kind, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, second)


def test_an_inverted_image_runs_against_the_original(chests: np.ndarray) -> None:
    for chest, inverted in zip(chests, spoil(chests, Seen.INVERTED, np.random.default_rng(1)), strict=True):
        assert np.corrcoef(chest.ravel(), inverted.ravel())[0, 1] < -0.5


def test_turned_images_are_those_of_quarter_and_half_turns(chests: np.ndarray) -> None:
    for chest, turned in zip(chests, spoil(chests, Seen.TURNED, np.random.default_rng(2)), strict=True):
        alike = [np.corrcoef(chest.ravel(), np.rot90(turned, turns).ravel())[0, 1] for turns in range(4)]
        assert int(np.argmax(alike)) in (1, 2, 3)


def test_poor_images_mostly_lose_their_detail(chests: np.ndarray) -> None:
    blurred = [detail(image) for seed in range(4) for image in spoil(chests, Seen.POOR, np.random.default_rng(seed))]
    assert min(blurred) < 0.3 * np.median([detail(chest) for chest in chests])
