"""The supervised contrastive loss over all images of a batch, for the identity embedding."""

from __future__ import annotations

from typing import cast

from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor, nn


class IdentityLoss(nn.Module):
    """Every other image of the batch is a negative, every other image of the patient a positive.

    Args:
        temperature: of the softmax over cosine similarities.

    Source: Khosla et al., "Supervised contrastive learning", 2020, eq. 2 (pytorch-metric-learning's `SupConLoss`).
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.loss = SupConLoss(temperature=temperature)

    def forward(self, embeddings: Tensor, patients: Tensor) -> Tensor:
        """Mean cost of embeddings (n, d) with patient numbers int (n,); a scalar."""
        return cast(Tensor, self.loss(embeddings, patients))
