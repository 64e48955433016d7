from __future__ import annotations

import pytest
import torch

from retrieval.networks.refine import Refine, ResidualBlock


@pytest.mark.parametrize("size", [3, 6, 8])
def test_any_map_becomes_a_vector(size: int) -> None:
    assert Refine(20, 32).eval()(torch.randn(2, 20, size, size)).shape == (2, 32)


def test_without_a_residual_the_input_passes_through() -> None:
    block = ResidualBlock(3, 3).eval()
    with torch.no_grad():
        block.convolution.weight.zero_()
    maps = torch.rand(1, 3, 4, 4)
    assert torch.equal(block(maps), maps)
