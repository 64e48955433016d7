"""The contrastive loss of Siamese matching: pull images of one person together, push others a margin apart."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from retrieval.losses.pairs import BatchPairs, balanced_mean

_LEAST_SQUARE = 1e-12


class ContrastiveLoss(nn.Module):
    """`L = (1−Y)·½·D² + Y·½·max(0, m−D)²`, Y = 0 for the same person, 1 for different.

    Args:
        margin: m > 0, the distance from which a different pair costs nothing. P1 found 0.5 best.
        squared: hold the squared distance against the margin, `max(0, m−D²)²`, as P3 prints it.

    Source: P1; P4, eq. 8; P3, eq. 22 (with Y the other way round).
    """

    def __init__(self, margin: float = 0.5, squared: bool = False) -> None:
        super().__init__()
        self.margin = margin
        self.squared = squared

    def forward(self, distance: Tensor, different: Tensor) -> Tensor:
        """Cost of each pair.

        Args:
            distance: D ≥ 0, (n,).
            different: Y, (n,), 0 or 1.

        Returns:
            (n,), ≥ 0; the caller averages.
        """
        pulled = 0.5 * distance.square()
        far = distance.square() if self.squared else distance
        pushed = 0.5 * (self.margin - far).clamp(min=0).square()
        return (1 - different) * pulled + different * pushed


class EmbeddingContrastiveLoss(nn.Module):
    """P1's loss on a batch of embeddings: D is the Euclidean distance of L2-normalised embeddings, in [0, 2].

    Pairs of one person and of two weigh the same, as in P1's pair lists.

    Args:
        margin: m of `ContrastiveLoss`, above 0 and at most 2, or 4 if squared. squared: see `ContrastiveLoss`.

    Source: P1; P3.
    """

    def __init__(self, margin: float = 0.5, squared: bool = False) -> None:
        super().__init__()
        self.contrastive = ContrastiveLoss(margin, squared)

    def forward(self, embeddings: Tensor, pairs: BatchPairs) -> Tensor:
        """Cost of embeddings (n, d), of any length above 0, over m pairs; a scalar."""
        unit = functional.normalize(embeddings, dim=1)
        distance = root((unit[pairs.first] - unit[pairs.second]).square().sum(dim=1))
        return balanced_mean(self.contrastive(distance, (~pairs.same).to(distance.dtype)), pairs.same)


def root(squared: Tensor) -> Tensor:
    """Square root of squared distances ≥ 0, kept away from 0, where it has no gradient."""
    return squared.clamp(min=_LEAST_SQUARE).sqrt()
