"""How a prepared image enters a network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def network_input(images: Tensor, size: int) -> Tensor:
    """Prepared images uint8 (n, h, w) as networks take them: float32 (n, 1, size, size) in [0, 1]."""
    return resized(images.unsqueeze(1).float() / 255, size)


def resized(images: Tensor, size: int) -> Tensor:
    """Images float (n, 1, h, w) at a side of `size` pixels, channels last."""
    if images.shape[-1] != size:
        images = functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return images.contiguous(memory_format=torch.channels_last)
