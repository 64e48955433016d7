from __future__ import annotations

from pathlib import Path

import numpy as np

from retrieval.data.phantoms import cached_phantoms, phantom_images, phantom_laterals


def test_exams_of_a_person_differ_and_drawing_repeats() -> None:
    drawn = phantom_images(1, 2, seed=5)
    assert drawn.shape == (1, 2, 320, 320)
    assert not np.array_equal(drawn[0, 0], drawn[0, 1])
    assert np.array_equal(drawn, phantom_images(1, 2, seed=5))


def test_cache_returns_what_was_drawn(tmp_path: Path) -> None:
    assert np.array_equal(cached_phantoms(1, 1, 5, tmp_path), cached_phantoms(1, 1, 5, tmp_path))


def test_lateral_is_another_image_of_the_person() -> None:
    assert not np.array_equal(phantom_laterals(1, 5)[0], phantom_images(1, 1, 5)[0, 0])
