"""P3's verification head: looks at how two embeddings differ, coordinate by coordinate, and says same person or not."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from retrieval.verification import Verifier


class VerificationHead(nn.Module):
    """Logit of "one person" from two unit-length embeddings; the order of the two does not matter.

    The difference is multiplied by √dim, so that its coordinates are of the order of one whatever the length.

    Args:
        dim: length of the embeddings.
        hidden: units of a hidden layer with ReLU; 0 for none, as in the paper.
        product: let it see the coordinates' products x₁·x₂ beside |x₁ − x₂|; the paper does not.

    Source: P3, improved Siamese network: |x₁ − x₂| → fully connected → sigmoid, trained by binary cross-entropy.
    """

    def __init__(self, dim: int, hidden: int = 0, product: bool = False) -> None:
        super().__init__()
        seen = 2 * dim if product else dim
        sizes = [seen, hidden, 1] if hidden else [seen, 1]
        self.layers = nn.ModuleList(nn.Linear(into, out) for into, out in pairwise(sizes))
        self.dim, self.product = dim, product

    def keep_monotone(self) -> None:
        """Take back what an optimiser's step made of a head without hidden layer against all sense.

        A coordinate that differs may speak against one person or say nothing, never for it. Free signs fit chance
        differences of the training patients.
        """
        if len(self.layers) > 1:
            return
        with torch.no_grad():
            weight = next(self.layers[0].parameters())
            weight[:, : self.dim].clamp_(max=0.0)
            weight[:, self.dim :].clamp_(min=0.0)

    def verifier(self) -> Verifier:
        """The same head in plain arrays."""
        tensors = {name: value.detach().float().cpu().numpy().copy() for name, value in self.state_dict().items()}
        return Verifier.from_tensors(tensors, self.dim)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compare row by row: embeddings float (n, dim) and (n, dim), each of unit length, to logits float (n,)."""
        scale = math.sqrt(first.shape[-1])
        seen = scale * (first - second).abs()
        if self.product:
            seen = torch.cat([seen, scale * scale * first * second], dim=-1)
        for layer in self.layers[:-1]:
            seen = torch.relu(layer(seen))
        logits: Tensor = self.layers[-1](seen)
        return logits.squeeze(-1)
