"""How a prepared image enters a network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def network_input(images: Tensor, size: int) -> Tensor:
    """Prepared images uint8 (n, h, w) as the network takes them: float32 (n, 1, size, size) in [0, 1]."""
    grey = images.unsqueeze(1).float() / 255
    if grey.shape[-1] != size:
        grey = functional.interpolate(grey, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return grey.contiguous(memory_format=torch.channels_last)
