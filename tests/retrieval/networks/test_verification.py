from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from retrieval.networks.verification import VerificationHead


@pytest.mark.parametrize(("hidden", "product"), [(0, False), (6, False), (6, True)])
def test_order_of_the_two_does_not_matter(hidden: int, product: bool) -> None:
    head = VerificationHead(8, hidden, product)
    first, second = functional.normalize(torch.randn(2, 5, 8), dim=2)
    assert torch.equal(head(first, second), head(second, first))
    assert head(first, second).shape == (5,)


def test_paper_s_form_is_one_layer_on_the_difference() -> None:
    head = VerificationHead(4)
    assert [tuple(p.shape) for p in head.parameters()] == [(1, 4), (1,)]
    with torch.no_grad():
        head.layers[0].weight.copy_(torch.tensor([[-1.0, 0.0, 2.0, 0.0]]))
        head.layers[0].bias.fill_(0.5)
    logit = head(torch.tensor([[0.6, 0.0, 0.8, 0.0]]), torch.tensor([[0.0, 0.0, 1.0, 0.0]]))
    assert logit.item() == pytest.approx(2 * (-0.6 + 2 * 0.2) + 0.5)


def test_gradient_reaches_both_images() -> None:
    first, second = (functional.normalize(torch.randn(3, 8), dim=1).requires_grad_() for _ in range(2))
    VerificationHead(8, 4)(first, second).sum().backward()
    assert first.grad is not None and second.grad is not None
    assert first.grad.abs().sum() > 0 and second.grad.abs().sum() > 0
