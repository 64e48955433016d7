from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torchvision import models

from retrieval.evaluation.comparators import frozen_vectors, pixel_vectors


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 320, 320)).astype(np.uint8)


def test_pixels_are_compared_whatever_the_exposure() -> None:
    original = images(2)
    darker = (original // 2 + 10).astype(np.uint8)
    similarity = pixel_vectors(original) @ pixel_vectors(darker).T
    assert similarity[0, 0] > 0.97
    assert similarity[0, 0] > similarity[0, 1] + 0.5


def test_frozen_features_are_of_unit_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_file(models.mobilenet_v2(weights=None).state_dict(), path)
    vectors = frozen_vectors(images(2), path, size=64)
    assert vectors.shape == (2, 1280)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)
