"""Generalised-mean pooling: between average (p = 1) and maximum (p → ∞), with p learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GeneralisedMeanPool(nn.Module):
    """Pool (n, c, h, w) to (n, c): `(mean(x^p))^(1/p)` over positions, for x ≥ 0 (negative values count as `eps`).

    Source: Radenović, Tolias, Chum, "Fine-tuning CNN image retrieval with no human annotation", 2018, eq. 3.
    """

    def __init__(self, power: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(power))
        self.eps = eps

    def forward(self, maps: Tensor) -> Tensor:
        """Pool maps (n, c, h, w) to float32 (n, c); computed in float32 because powers overflow half precision."""
        with torch.autocast(maps.device.type, enabled=False):
            positive = maps.float().clamp(min=self.eps)
            power = self.power.float()
            return positive.pow(power).mean(dim=(2, 3)).pow(1.0 / power)
