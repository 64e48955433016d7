from __future__ import annotations

import pytest
import torch

from retrieval.errors import ConfigInvalid
from retrieval.networks.regions import RegionPool


def test_one_region_of_the_whole_side_is_the_mean() -> None:
    maps = torch.randn(2, 3, 7, 9)
    assert torch.allclose(RegionPool(1, 1.0)(maps), maps.mean(dim=(2, 3)), atol=1e-6)


def test_regions_are_means_of_overlapping_windows() -> None:
    """On 20 lines, windows of 0.4 are 8 lines wide and start every 3 lines."""
    maps = torch.randn(1, 2, 20, 20)
    expected = torch.nn.functional.avg_pool2d(maps, 8, 3)
    assert expected.shape[-1] == 5
    assert torch.allclose(RegionPool(5, 0.4)(maps).view(1, 2, 5, 5), expected, atol=1e-5)


def test_a_line_that_is_cut_counts_partly() -> None:
    maps = torch.tensor([1.0, 2.0, 4.0]).view(1, 1, 1, 3)
    pooled = RegionPool(2, 0.5)(maps).view(2, 2)
    assert torch.allclose(pooled[0], torch.tensor([(1.0 + 0.5 * 2.0) / 1.5, (0.5 * 2.0 + 4.0) / 1.5]))


def test_what_belongs_to_a_region_is_spread_over_it() -> None:
    """On 20 lines, the second of five windows of 0.4 covers lines 3 to 10."""
    values = torch.zeros(1, 5, 5)
    values[0, 1, 4] = 3.2
    spread = RegionPool(5, 0.4).spread(values, 20)[0]
    assert torch.allclose(spread[3:11, 12:], torch.full((8, 8), 3.2 / 64), atol=1e-6)
    assert torch.isclose(spread.sum(), torch.tensor(3.2), atol=1e-5)


@pytest.mark.parametrize(("regions", "window"), [(0, 0.4), (3, 0.0), (3, 1.2)])
def test_impossible_regions_are_refused(regions: int, window: float) -> None:
    with pytest.raises(ConfigInvalid):
        RegionPool(regions, window)
