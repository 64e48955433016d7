"""P3's improved Siamese loss: a small head looks at the difference of two embeddings and says same or not."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from retrieval.losses.pairs import BatchPairs, balanced_mean
from retrieval.networks.verification import VerificationHead


class VerificationLoss(nn.Module):
    """Binary cross-entropy of `VerificationHead` on pairs; pairs of one person and of two weigh the same.

    Args:
        dim: length of the embeddings.

    Source: P3, improved Siamese network: |x₁ − x₂| → fully connected → sigmoid → binary cross-entropy.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.head = VerificationHead(dim)

    def forward(self, embeddings: Tensor, pairs: BatchPairs) -> Tensor:
        """Cost of embeddings (n, dim) over m pairs; a scalar."""
        logits = cast(Tensor, self.head(embeddings[pairs.first], embeddings[pairs.second]))
        costs = functional.binary_cross_entropy_with_logits(logits, pairs.same.to(logits.dtype), reduction="none")
        return balanced_mean(costs, pairs.same)
