"""Which pairs of images of a batch a loss compares."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class BatchPairs:
    """m pairs of positions in a batch: first and second int64 (m,), same bool (m,), true for one person."""

    first: Tensor
    second: Tensor
    same: Tensor

    def to(self, device: torch.device) -> BatchPairs:
        """The same pairs on another device."""
        return BatchPairs(self.first.to(device), self.second.to(device), self.same.to(device))


def all_pairs(patients: Tensor) -> BatchPairs:
    """Every two images of a batch with patient numbers int (n,), each pair once: n·(n−1)/2 pairs."""
    first, second = torch.triu_indices(len(patients), len(patients), offset=1, device=patients.device)
    return BatchPairs(first, second, patients[first] == patients[second])


def balanced_mean(costs: Tensor, same: Tensor) -> Tensor:
    """Mean cost of pairs, those of one person and those of two weighing the same, as in a balanced pair list.

    Args:
        costs: (m,). same: bool (m,).

    Returns:
        A scalar; a kind of which there is no pair costs nothing.
    """
    kinds = [costs[chosen].mean() for chosen in (same, ~same) if bool(chosen.any())]
    return 0.5 * torch.stack(kinds).sum() if kinds else costs.sum()
