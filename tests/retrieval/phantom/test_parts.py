from __future__ import annotations

import numpy as np
import pytest

from retrieval.phantom import PhantomValueError
from retrieval.phantom.parts import PARTS, body_part


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_drawn_in_range_and_again_the_same(part: str) -> None:
    first, again, other = (body_part(part, np.random.default_rng(seed), 96) for seed in (1, 1, 2))
    assert first.shape == (96, 96) and first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 1 and first.std() > 0.05
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_around_a_hand_is_air_and_in_it_are_bones() -> None:
    hand = body_part("hand", np.random.default_rng(5), 128)
    assert (hand < 0.25).mean() > 0.3
    assert (hand > 0.75).mean() > 0.02


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(PhantomValueError, match="size"):
        body_part("hand", np.random.default_rng(0), 8)
