"""P4's spatial attention: where in the chest the local branch looks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SpatialAttention(nn.Module):
    """Three descriptors per position, a shared two-layer perceptron, a 3×3 convolution and tanh.

    The descriptors are the maximum over channels, the mean over channels and the max-pooled response (3×3
    neighbourhood, averaged over channels so that it is one number per position like the other two).
    Source: P4, eq. 1 to 3.
    """

    def __init__(self, hidden: int = 8) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(
            nn.Conv2d(1, hidden, kernel_size=1), nn.ReLU(), nn.Conv2d(hidden, 1, kernel_size=1)
        )
        self.convolution = nn.Conv2d(3, 1, kernel_size=3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Weigh positions of maps (n, c, h, w): (n, 1, h, w) in (-1, 1)."""
        maximum = maps.amax(dim=1, keepdim=True)
        average = maps.mean(dim=1, keepdim=True)
        pooled = functional.max_pool2d(maps, kernel_size=3, stride=1, padding=1).mean(dim=1, keepdim=True)
        described = torch.cat([self.perceptron(d) for d in (maximum, average, pooled)], dim=1)
        return torch.tanh(self.convolution(described))
