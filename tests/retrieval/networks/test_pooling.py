from __future__ import annotations

import torch

from retrieval.networks.pooling import GeneralisedMeanPool


def test_power_one_is_the_mean_and_a_high_power_nears_the_maximum() -> None:
    maps = torch.tensor([[[[1.0, 3.0], [2.0, 6.0]]]])
    assert torch.isclose(GeneralisedMeanPool(1.0)(maps)[0, 0], torch.tensor(3.0))
    assert 5.5 < GeneralisedMeanPool(40.0)(maps)[0, 0] < 6.0


def test_power_three_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 3.0]]]])
    assert torch.isclose(GeneralisedMeanPool(3.0)(maps)[0, 0], torch.tensor(14.0 ** (1 / 3)))
