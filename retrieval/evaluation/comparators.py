"""What the network is compared with in the same table: plain pixels, pHash and frozen ImageNet features."""

from __future__ import annotations

from pathlib import Path

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track

from retrieval.networks import Backbone
from retrieval.networks.input import network_input
from retrieval.preprocess import PREPARED_SIZE

Images = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]

_CHUNK = 16
_MEAN = _STD = 0.5


def pixel_vectors(images: Images, side: int = 32) -> Vectors:
    """Prepared images uint8 (n, h, w) as plain pixels: float32 (n, side²), mean removed, L2-normalised."""
    small = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).reshape(-1) for image in images]
    flat = np.stack(small).astype(np.float32)
    return _normalised(flat - flat.mean(axis=1, keepdims=True))


def perceptual_hashes(images: Images) -> npt.NDArray[np.uint8]:
    """pHash of prepared images uint8 (n, h, w): 64 bits, uint8 (n, 8).

    Source: P3, §1 (pHash), as in the library imagehash.
    """
    return np.stack([np.packbits(imagehash.phash(Image.fromarray(image)).hash) for image in images])


def frozen_vectors(images: Images, weights: Path, name: str = "mobilenet_v2", size: int = PREPARED_SIZE) -> Vectors:
    """Average-pooled features of an untrained-for-this backbone, as P2 compares them: float32 (n, c), L2-normalised.

    Args:
        images: uint8 (n, h, w), prepared.
        weights: safetensors file of a torchvision state dict, for RGB input scaled to [-1, 1].
        name: torchvision's name of the model. size: side it works at, pixels.

    Raises:
        WeightsNotUsable: the file does not fit the model.
    """
    backbone = Backbone(name).eval().to(memory_format=torch.channels_last)
    backbone.load_torchvision_file(weights)
    parts = []
    starts = range(0, len(images), _CHUNK)
    with torch.inference_mode():
        for start in track(starts, description="frozen features", console=Console(stderr=True)):
            batch = network_input(torch.from_numpy(images[start : start + _CHUNK].copy()), size)
            rgb = ((batch - _MEAN) / _STD).expand(-1, 3, -1, -1)
            parts.append(backbone(rgb)[1].mean(dim=(2, 3)).numpy())
    return _normalised(np.concatenate(parts))


def _normalised(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)
