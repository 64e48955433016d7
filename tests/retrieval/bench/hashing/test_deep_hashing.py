from __future__ import annotations

import numpy as np
import pytest
import torch

from retrieval.bench.hashing.deep_hashing import DeepHashing, deep_hashing_objective


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_objective_by_hand(dtype: torch.dtype) -> None:
    """Two images, two bits, one layer W = (2 0; 0 1), c = (1, 0)."""
    codes = torch.tensor([[0.5, -1.0], [-0.5, 0.0]], dtype=dtype)
    weight, bias = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=dtype), torch.tensor([1.0, 0.0], dtype=dtype)
    quantised = 0.5 * (0.25 + 0 + 0.25 + 1)
    spread = 0.5 * 10 * (0.25 + 1 + 0.25) / 2
    independence = 0.5 * 0.1 * (4 - 1) ** 2
    decay = 0.5 * 0.2 * (4 + 1 + 1)
    found = deep_hashing_objective(codes, [(weight, bias)], spread=10, independence=0.1, decay=0.2)
    assert found.item() == pytest.approx(quantised - spread + independence + decay)


def test_the_paper_s_weights_are_the_default() -> None:
    codes, layer = torch.zeros(1, 1), (torch.ones(1, 1), torch.ones(1))
    assert deep_hashing_objective(codes, [layer]).item() == pytest.approx(0.5 + 0.5 * 1e-3 * 2)


def test_codes_of_two_kinds_of_images_differ_and_lie_near_one() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, size=(2, 32))
    features = np.concatenate([centre + rng.normal(size=(40, 32)) for centre in centres]).astype(np.float32)
    torch.manual_seed(0)
    codes = DeepHashing(features, 16).encode(features)
    assert codes.shape == (80, 16)
    assert np.abs(codes).mean() > 0.8
    bits = codes > 0
    within, between = (bits[:40, None] != bits[None, :40]).mean(), (bits[:40, None] != bits[None, 40:]).mean()
    assert within < 0.5 * between


def test_fewer_images_than_the_first_layer_is_wide_are_enough() -> None:
    features = np.random.default_rng(0).normal(size=(12, 300)).astype(np.float32)
    assert np.isfinite(DeepHashing(features, 64).encode(features)).all()
