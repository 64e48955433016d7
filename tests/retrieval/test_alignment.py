from __future__ import annotations

import cv2
import numpy as np
import pytest

from retrieval.alignment import AlignmentFailed, align
from retrieval.errors import ImageNotUsable
from retrieval.phantom import random_exam, random_person, render


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    """A synthetic chest, uint8 (400, 400)."""
    rng = np.random.default_rng(5)
    return np.uint8(255 * render(random_person(rng), random_exam(rng), 400))


def moved(image: np.ndarray, degrees: float, zoom: float, shift: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The image turned, zoomed and shifted, and the matrix (2, 3) that takes positions in `image` to the result's."""
    matrix = cv2.getRotationMatrix2D((199.5, 199.5), degrees, zoom)
    matrix[:, 2] += shift
    return cv2.warpAffine(image, matrix, (400, 400), borderMode=cv2.BORDER_REPLICATE), matrix


@pytest.mark.parametrize(
    ("degrees", "zoom", "shift"), [(0, 1.0, (0, 0)), (4, 1.05, (9, -6)), (-5, 0.94, (-12, 10)), (2, 1.1, (0, 20))]
)
def test_a_known_movement_is_found(chest: np.ndarray, degrees: float, zoom: float, shift: tuple[float, float]) -> None:
    second, matrix = moved(chest, degrees, zoom, shift)
    found = align(chest, second)
    points = np.array([[x, y, 1] for x in (100, 200, 300) for y in (100, 200, 300)], np.float64)
    assert np.abs(points @ found.matrix.T - points @ matrix.T).max() < 3
    assert found.correlation > 0.8
    middle = (slice(100, 300), slice(100, 300))
    before = np.abs(second[middle].astype(int) - chest[middle]).mean()
    assert np.abs(found.warped[middle].astype(int) - chest[middle]).mean() < max(0.6 * before, 1.5)


def test_size_shape_margin_and_exposure_do_not_matter(chest: np.ndarray) -> None:
    """The second image is smaller, stretched, darker and lies in a wide black margin."""
    small = cv2.resize(chest, (300, 220), interpolation=cv2.INTER_AREA)
    second = np.zeros((260, 380), np.float32)
    second[20:240, 60:360] = 0.2 + 0.4 * (small / 255.0) ** 1.3
    found = align(chest, second)
    # Pixel (x, y) of the chest is pixel (60 + 0.75 x, 20 + 0.55 y) of the other, but for half a pixel.
    assert found.matrix == pytest.approx(np.array([[0.75, 0, 60], [0, 0.55, 20]]), abs=3)
    assert found.warped.shape == found.covered.shape == chest.shape
    assert np.abs(found.warped.astype(int) - chest)[50:350, 50:350].mean() < 8


def test_beside_the_second_image_nothing_is_covered(chest: np.ndarray) -> None:
    found = align(chest, chest[:, :300])
    assert not found.covered[50:350, 380:].any() and not found.warped[:, 380:].any()
    assert found.covered[50:350, 50:250].all()


def test_one_person_lies_better_than_two() -> None:
    rng = np.random.default_rng(8)
    person, other = random_person(rng), random_person(rng)
    first, again, stranger = (render(who, random_exam(rng), 320) for who in (person, person, other))
    assert align(first, again).correlation > align(first, stranger).correlation


def test_what_cannot_lie_over_a_chest_is_said(chest: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
    with pytest.raises(AlignmentFailed, match="too different"):
        align(chest, noise)


@pytest.mark.parametrize(
    "image", [np.full((100, 100), 7, np.uint8), np.zeros((8, 100), np.uint8), np.full((99, 99), np.nan, np.float32)]
)
def test_an_image_without_structure_is_refused(chest: np.ndarray, image: np.ndarray) -> None:
    with pytest.raises(ImageNotUsable):
        align(chest, image)
