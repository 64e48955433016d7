"""The contrastive loss of Siamese matching: pull images of one person together, push others a margin apart."""

from __future__ import annotations

from torch import Tensor, nn


class ContrastiveLoss(nn.Module):
    """`L = (1−Y)·½·D² + Y·½·max(0, m−D)²`, Y = 0 for the same person, 1 for different.

    Args:
        margin: m > 0, the distance from which a different pair costs nothing. P1 found 0.5 best.

    Source: P1; P4, eq. 8.
    """

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, distance: Tensor, different: Tensor) -> Tensor:
        """Cost of each pair.

        Args:
            distance: D ≥ 0, (n,).
            different: Y, (n,), 0 or 1.

        Returns:
            (n,), ≥ 0; the caller averages.
        """
        pulled = 0.5 * distance.square()
        pushed = 0.5 * (self.margin - distance).clamp(min=0).square()
        return (1 - different) * pulled + different * pushed
