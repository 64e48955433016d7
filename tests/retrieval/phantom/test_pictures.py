from __future__ import annotations

import numpy as np
import pytest

from retrieval.phantom import PhantomValueError
from retrieval.phantom.pictures import PICTURES, picture


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_fills_its_range_and_is_drawn_again_the_same(kind: str) -> None:
    first, again, other = (picture(kind, np.random.default_rng(seed), 96) for seed in (1, 1, 2))
    assert first.shape == (96, 96) and first.dtype == np.float32
    assert (first.min(), first.max()) == (0, 1)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(PhantomValueError, match="size"):
        picture("slice", np.random.default_rng(0), 8)
