"""P4's spatial attention: where in the chest the local branch looks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional


class Descriptor(StrEnum):
    """What is said of a position: maximum or mean over channels, or the max-pooled response."""

    MAXIMUM = "maximum"
    MEAN = "mean"
    POOLED = "pooled"


class SpatialAttention(nn.Module):
    """Three descriptors per position, a shared two-layer perceptron, a 3×3 convolution and tanh.

    The descriptors are the maximum over channels, the mean over channels and the max-pooled response (3×3
    neighbourhood, averaged over channels so that it is one number per position like the other two).

    Args:
        hidden: width of the perceptron. descriptors: those that are used, at least one; all in the paper.

    Source: P4, eq. 1 to 3; table 4 for fewer descriptors.
    """

    def __init__(self, hidden: int = 8, descriptors: Sequence[Descriptor] = tuple(Descriptor)) -> None:
        super().__init__()
        self._descriptors = tuple(descriptors)
        self.perceptron = nn.Sequential(
            nn.Conv2d(1, hidden, kernel_size=1), nn.ReLU(), nn.Conv2d(hidden, 1, kernel_size=1)
        )
        self.convolution = nn.Conv2d(len(self._descriptors), 1, kernel_size=3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Weigh positions of maps (n, c, h, w): (n, 1, h, w) in (-1, 1)."""
        described = torch.cat([self.perceptron(_described(maps, kind)) for kind in self._descriptors], dim=1)
        return torch.tanh(self.convolution(described))


def _described(maps: Tensor, kind: Descriptor) -> Tensor:
    if kind is Descriptor.MAXIMUM:
        return maps.amax(dim=1, keepdim=True)
    if kind is Descriptor.MEAN:
        return maps.mean(dim=1, keepdim=True)
    return functional.max_pool2d(maps, kernel_size=3, stride=1, padding=1).mean(dim=1, keepdim=True)
