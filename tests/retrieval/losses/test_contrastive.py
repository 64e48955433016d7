from __future__ import annotations

import pytest
import torch

from retrieval.losses.contrastive import ContrastiveLoss


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_costs_are_those_of_the_formula(dtype: torch.dtype) -> None:
    distance = torch.tensor([0.0, 0.4, 0.4, 0.5, 2.0, 2.0], dtype=dtype)
    different = torch.tensor([0, 0, 1, 1, 1, 0], dtype=dtype)
    by_hand = torch.tensor([0.0, 0.08, 0.005, 0.0, 0.0, 2.0], dtype=dtype)
    assert torch.allclose(ContrastiveLoss(margin=0.5)(distance, different), by_hand)


def test_gradient_pulls_one_person_and_pushes_two() -> None:
    distance = torch.tensor([0.3, 0.3, 0.9], requires_grad=True)
    ContrastiveLoss(margin=0.5)(distance, torch.tensor([0.0, 1.0, 1.0])).sum().backward()
    assert distance.grad is not None
    assert torch.allclose(distance.grad, torch.tensor([0.3, -0.2, 0.0]))


def test_squared_costs_are_those_of_p3_s_formula() -> None:
    """Eq. 22 with m = 2: ½·D² for one person, ½·(2 − D²)² for two; from D = √2 on two persons cost nothing."""
    distance = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.2, 1.5])
    different = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    by_hand = torch.tensor([0.0, 0.5, 2.0, 0.5, 0.5 * 0.56**2, 0.0])
    assert torch.allclose(ContrastiveLoss(margin=2.0, squared=True)(distance, different), by_hand)
