from __future__ import annotations

import cv2
import numpy as np
import pytest

from retrieval.evaluation.changes import CHANGES, changed, letter_mask
from retrieval.preprocess import PREPARED_SIZE

BY_NAME = {change.name: change for change in CHANGES}


def chest(seed: int = 0) -> np.ndarray:
    """A smooth picture with a bright middle, like a chest without letters: uint8 (size, size), 20 to 150."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.random((8, 8)).astype(np.float32), (PREPARED_SIZE,) * 2, interpolation=cv2.INTER_CUBIC)
    return np.clip(20 + 130 * coarse, 20, 150).astype(np.uint8)


def lettered(place: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a white L at (x, y), whose edge is soft, and every pixel that it touches."""
    image, plain = chest(), chest()
    cv2.putText(image, "L", place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 3)
    return image, image != plain


def apply(name: str, image: np.ndarray, seed: int = 0) -> np.ndarray:
    return BY_NAME[name].apply(image, np.random.default_rng(seed))


@pytest.mark.parametrize("name", BY_NAME)
def test_every_change_keeps_shape_and_type_and_the_original(name: str) -> None:
    image, _ = lettered((12, 40))
    before = image.copy()
    after = apply(name, image)
    assert (after.shape, after.dtype) == (image.shape, np.uint8)
    assert (image == before).all()
    assert (after != image).any()


def test_a_letter_near_the_border_is_found_and_painted_over() -> None:
    image, where = lettered((12, 40))
    assert letter_mask(image)[image > 250].mean() > 0.95
    assert letter_mask(image)[~cv2.dilate(where.astype(np.uint8), np.ones((5, 5))).astype(bool)].sum() == 0
    painted = apply("letters", image)
    assert np.abs(painted[where].astype(float) - chest()[where]).mean() < 25
    assert (painted[100:, 100:] == image[100:, 100:]).all()


def test_anatomy_is_no_letter() -> None:
    """Neither a bright middle, nor a bright abdomen at the edge, nor a letter-like spot inside the lungs."""
    image, _ = lettered((150, 170))
    image[-60:] = 255
    assert letter_mask(image).sum() == 0


def test_corners_and_edges_are_uniform_and_the_middle_stays() -> None:
    image = chest()
    after = apply("corners", image)
    assert len(np.unique(np.concatenate([after[:40, :40].ravel(), after[-10:].ravel()]))) == 1
    assert (after[60:-60, 60:-60] == image[60:-60, 60:-60]).all()


def test_of_the_surroundings_and_the_border_nothing_inside_is_left() -> None:
    image = chest()
    middle = slice(80, -80)
    for name in ("surroundings", "border"):
        after = apply(name, image)
        assert not after[middle, middle].any()
        assert (after[:5, :5] == image[:5, :5]).all()


def test_cropping_moves_the_edges_by_at_most_eight_percent() -> None:
    ramp = np.tile(np.linspace(0, 255, PREPARED_SIZE), (PREPARED_SIZE, 1)).astype(np.uint8)
    after = apply("collimation", ramp, seed=3)
    assert 0 < after[0, 0] <= 0.09 * 255
    assert 0.91 * 255 <= after[0, -1] < 255


def test_exposure_keeps_the_order_of_greys() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    after = apply("exposure", levels).ravel().astype(int)
    assert (np.diff(after) >= 0).all()
    assert (after[0], after[-1]) == (0, 255)


def test_fine_detail_is_lost_in_a_coarse_image() -> None:
    stripes = np.zeros((PREPARED_SIZE, PREPARED_SIZE), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert apply("coarse", stripes).std() < 30 < stripes.std()


def test_images_are_changed_by_numbers_of_their_own_but_the_same_in_every_run() -> None:
    images = np.stack([chest(), chest()])
    after = changed(images, BY_NAME["collimation"])
    assert (after[0] != after[1]).any()
    assert (after == changed(images, BY_NAME["collimation"])).all()
