from __future__ import annotations

from pathlib import Path

import imagehash
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import models

from retrieval.codes import hamming
from retrieval.evaluation.comparators import frozen_vectors, perceptual_hashes, pixel_vectors
from retrieval.preprocess import PREPARED_SIZE


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, PREPARED_SIZE, PREPARED_SIZE)).astype(np.uint8)


def test_pixels_are_compared_whatever_the_exposure() -> None:
    original = images(2)
    darker = (original // 2 + 10).astype(np.uint8)
    similarity = pixel_vectors(original) @ pixel_vectors(darker).T
    assert similarity[0, 0] > 0.97
    assert similarity[0, 0] > similarity[0, 1] + 0.5


def test_perceptual_hashes_are_the_library_s_and_differ_as_they_do() -> None:
    first, second = images(2)
    hashes = perceptual_hashes(np.stack([first, second]))
    assert hashes.shape == (2, 8)
    expected = imagehash.phash(Image.fromarray(first)) - imagehash.phash(Image.fromarray(second))
    assert hamming(hashes[0], hashes[1]) == expected > 0


def test_frozen_features_are_of_unit_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_file(models.mobilenet_v2(weights=None).state_dict(), path)
    vectors = frozen_vectors(images(2), path, size=64)
    assert vectors.shape == (2, 1280)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)
