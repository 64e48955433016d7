from __future__ import annotations

import numpy as np
import pytest

from retrieval.upright import RIGHTINGS, Righting


@pytest.fixture
def image() -> np.ndarray:
    return np.arange(16, dtype=np.uint8).reshape(4, 4)


def test_all_ways_but_mirroring_are_known_once(image: np.ndarray) -> None:
    found = {righting.of(image).tobytes() for righting in RIGHTINGS}
    assert len(found) == len(RIGHTINGS) == 7
    assert image.tobytes() not in found and image[:, ::-1].tobytes() not in found


@pytest.mark.parametrize("righting", RIGHTINGS, ids=str)
def test_a_map_lies_on_the_stored_image_again(righting: Righting, image: np.ndarray) -> None:
    place = np.zeros((4, 4), np.float32)
    place[0, 1] = 1
    stored = image.copy()
    seen = righting.of(stored) == (255 - stored[0, 1] if righting.inverted else stored[0, 1])
    assert np.array_equal(righting.undone(seen.astype(np.float32)), place)


def test_what_was_done_is_said_in_words() -> None:
    assert str(Righting(2, False)) == "turned by 180°"
    assert str(Righting(1, True)) == "turned by 90° to the left and inverted"
    assert str(Righting(0, True)) == "inverted"
    assert max(len(str(righting)) for righting in RIGHTINGS) <= 64


def test_words_are_read_again() -> None:
    assert [Righting.read(str(one)) for one in RIGHTINGS] == list(RIGHTINGS)
    assert Righting.read("") is None


def test_turned_to_the_left_is_anticlockwise(image: np.ndarray) -> None:
    assert Righting(1, False).of(image)[0].tolist() == image[:, -1].tolist()
    assert Righting(3, False).of(image)[0].tolist() == image[::-1, 0].tolist()
