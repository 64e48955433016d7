"""What the network is compared with in the same table: plain pixels and frozen ImageNet features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from retrieval.networks import Backbone
from retrieval.networks.input import network_input

Images = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]


def pixel_vectors(images: Images, side: int = 32) -> Vectors:
    """Prepared images uint8 (n, h, w) as plain pixels: float32 (n, side²), mean removed, L2-normalised."""
    small = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).reshape(-1) for image in images]
    flat = np.stack(small).astype(np.float32)
    return _normalised(flat - flat.mean(axis=1, keepdims=True))


def frozen_vectors(
    images: Images,
    weights: Path,
    name: str = "mobilenet_v2",
    size: int = 224,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.5, 0.5, 0.5),
) -> Vectors:
    """Average-pooled features of an untrained-for-this backbone, as P2 compares them: float32 (n, c), L2-normalised.

    Args:
        images: uint8 (n, h, w), prepared.
        weights: safetensors file of a torchvision state dict.
        name: torchvision's name of the model. size: side it works at. mean, std: of its RGB input in [0, 1].
    """
    backbone = Backbone(name).eval()
    backbone.load_torchvision_file(weights)
    centre, scale = (torch.tensor(list(x)).view(1, -1, 1, 1) for x in (mean, std))
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), 16):
            batch = network_input(torch.from_numpy(images[start : start + 16].copy()), size)
            parts.append(backbone((batch - centre) / scale)[1].mean(dim=(2, 3)).numpy())
    return _normalised(np.concatenate(parts))


def _normalised(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)
