"""Pooling that keeps where in the chest something is: means over overlapping regions of the feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from retrieval.errors import ConfigInvalid


class RegionPool(nn.Module):
    """Mean of the feature map over a grid of overlapping square regions.

    A person is recognised by the shapes of ribs, clavicles, hila and heart *in their places*; one mean over the whole
    image mixes them. The regions overlap by more than half, so that a shift of the patient moves the result little.

    Args:
        regions: regions a side, ≥ 1. window: side of a region as a share of the image side, in (0, 1]. One region of
            the whole side is the plain mean.

    Raises:
        ConfigInvalid: out of these ranges.
    """

    def __init__(self, regions: int = 5, window: float = 0.4) -> None:
        super().__init__()
        if regions < 1 or not 0 < window <= 1:
            raise ConfigInvalid(f"Regions must be 1 or more, not {regions}, and their window in (0, 1], not {window}.")
        self.regions = regions
        self.window = window

    def forward(self, maps: Tensor) -> Tensor:
        """Pool maps (n, c, h, w) to float32 (n, c·regions²)."""
        with torch.autocast(maps.device.type, enabled=False):
            rows = self._shares(maps.shape[2], maps.device)
            columns = self._shares(maps.shape[3], maps.device)
            return torch.einsum("gh,nchw,kw->ncgk", rows, maps.float(), columns).flatten(1)

    def spread(self, values: Tensor, side: int) -> Tensor:
        """What belongs to each region, (n, regions, regions), spread evenly over it: (n, side, side), the same sum."""
        with torch.autocast(values.device.type, enabled=False):
            shares = self._shares(side, values.device)
            return torch.einsum("gh,ngk,kw->nhw", shares, values.float(), shares)

    def _shares(self, side: int, device: torch.device) -> Tensor:
        """How much each line counts in each region: float32 (regions, side), rows sum to 1; lines cut count partly."""
        starts = torch.linspace(0, side * (1 - self.window), self.regions, device=device)[:, None]
        lines = torch.arange(side, device=device)[None]
        covered = (torch.minimum(lines + 1, starts + self.window * side) - torch.maximum(lines, starts)).clamp(min=0)
        return covered / covered.sum(dim=1, keepdim=True)
