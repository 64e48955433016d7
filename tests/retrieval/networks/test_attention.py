from __future__ import annotations

import pytest
import torch

from retrieval.networks.attention import Descriptor, SpatialAttention


def test_weighs_every_position_between_minus_one_and_one() -> None:
    weights = SpatialAttention()(torch.randn(2, 12, 5, 7) * 50)
    assert weights.shape == (2, 1, 5, 7)
    assert weights.abs().max() <= 1


def test_result_is_the_formula_on_the_three_descriptors() -> None:
    """With a perceptron that passes its input on and a centre-only kernel, tanh(a·max + b·mean + c·pooled)."""
    attention = SpatialAttention(hidden=1)
    with torch.no_grad():
        for layer in (attention.perceptron[0], attention.perceptron[2]):
            layer.weight.fill_(1.0)
            layer.bias.zero_()
        attention.convolution.weight.zero_()
        attention.convolution.bias.zero_()
        attention.convolution.weight[0, :, 1, 1] = torch.tensor([0.1, 0.2, 0.3])
    maps = torch.zeros(1, 2, 3, 3)
    maps[0, 0, 1, 1] = 4.0
    weights = attention(maps)[0, 0]
    assert torch.isclose(weights[1, 1], torch.tanh(torch.tensor(0.1 * 4 + 0.2 * 2 + 0.3 * 2)))
    assert torch.isclose(weights[0, 0], torch.tanh(torch.tensor(0.3 * 2)))


def test_gradient_reaches_the_maps() -> None:
    maps = torch.randn(1, 4, 6, 6, requires_grad=True)
    SpatialAttention()(maps).sum().backward()
    assert maps.grad is not None
    assert maps.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("kept", "expected"),
    [((Descriptor.POOLED,), 0.3 * 2), ((Descriptor.MAXIMUM, Descriptor.MEAN), 0.3 * 4 + 0.3 * 2)],
)
def test_descriptors_that_are_left_out_say_nothing(kept: tuple[Descriptor, ...], expected: float) -> None:
    attention = SpatialAttention(hidden=1, descriptors=kept)
    with torch.no_grad():
        for layer in (attention.perceptron[0], attention.perceptron[2]):
            layer.weight.fill_(1.0)
            layer.bias.zero_()
        attention.convolution.weight.zero_()
        attention.convolution.bias.zero_()
        attention.convolution.weight[0, :, 1, 1] = 0.3
    maps = torch.zeros(1, 2, 3, 3)
    maps[0, 0, 1, 1] = 4.0
    assert torch.isclose(attention(maps)[0, 0, 1, 1], torch.tanh(torch.tensor(expected)))
