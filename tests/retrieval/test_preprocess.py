from __future__ import annotations

import numpy as np
import pytest

from retrieval.errors import ImageNotUsable
from retrieval.preprocess import PREPARED_SIZE, content_box, prepare


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.8, (height, width)).astype(np.float32)


def test_result_is_a_square_of_bytes_that_uses_the_grey_range() -> None:
    prepared = prepare(textured(300, 700))
    assert prepared.shape == (PREPARED_SIZE, PREPARED_SIZE)
    assert prepared.dtype == np.uint8
    assert prepared.min() == 0
    assert prepared.max() == 255


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_blank_image_gives_zeros(value: float) -> None:
    assert not prepare(np.full((100, 90), value, dtype=np.float32)).any()


def test_exposure_does_not_matter() -> None:
    image = textured(512, 512)
    assert np.abs(prepare(image).astype(int) - prepare(image * 0.5 + 0.1)).max() <= 1


def test_bytes_and_fractions_give_the_same_result() -> None:
    stored = (textured(400, 300) * 255).astype(np.uint8)
    assert np.abs(prepare(stored).astype(int) - prepare(stored.astype(np.float32) / 255)).max() <= 3


def test_black_and_white_shutters_are_cropped() -> None:
    image = textured(400, 400)
    image[:, :60] = 0.0
    assert content_box(image) == (0, 400, 60, 400)
    image = textured(400, 400)
    image[370:] = 1.0
    assert content_box(image) == (0, 370, 0, 400)


def test_a_margin_goes_also_where_one_of_the_other_colour_crosses_it() -> None:
    image = textured(256, 256)
    image[:, :40] = 0.0
    image[:, 230:] = 0.0
    image[240:] = 1.0
    assert content_box(image) == (0, 240, 40, 230)


def test_letters_in_a_shutter_do_not_keep_it() -> None:
    image = textured(256, 256)
    image[:40] = 0.0
    image[10:14, 10:16] = 1.0
    assert content_box(image)[0] == 40


def test_never_more_than_a_third_is_cropped_from_one_side() -> None:
    image = textured(256, 256)
    image[:200] = 0.0
    assert content_box(image)[0] == int(0.3 * 256)


def test_soft_background_is_not_taken_for_a_shutter() -> None:
    image = textured(256, 256)
    image[:30] = np.linspace(0.0, 0.5, 256, dtype=np.float32)
    assert content_box(image) == (0, 256, 0, 256)


def test_cropping_restores_the_image_under_the_shutter() -> None:
    field = textured(256, 256)
    framed = np.zeros((336, 336), dtype=np.float32)
    framed[40:296, 40:296] = field
    assert np.array_equal(prepare(framed), prepare(field))


@pytest.mark.parametrize("shape", [(3, 20, 20), (0, 10), (1, 50), (40,)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageNotUsable):
        prepare(np.zeros(shape, dtype=np.float32))


def test_values_that_are_not_finite_are_refused() -> None:
    image = textured(300, 300)
    image[17, 31:35] = np.nan
    with pytest.raises(ImageNotUsable, match="finite"):
        prepare(image)
