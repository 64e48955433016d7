"""The whole of what recognises a person: two networks that see one image in two ways."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.networks.attention_hash import AttentionHashNetwork, Outputs
from retrieval.networks.input import resized
from retrieval.networks.regional import RegionalNetwork


class Recogniser(nn.Module):
    """An attention-hash network, and beside it a regional network if there is one.

    The embedding has two parts of equal weight: one sees what there is in the whole image, one which rib runs where.
    Each is L2-normalised, so the cosine of two embeddings is the mean of the parts' cosines.

    Args:
        whole: gives code, attention and findings, and the last part of the embedding. size: side of the images it
            sees, in pixels.
        regional: gives the first part of the embedding.
    """

    def __init__(self, whole: AttentionHashNetwork, size: int, regional: RegionalNetwork | None = None) -> None:
        super().__init__()
        self.whole = whole
        self.size = size
        self.regional = regional

    @property
    def dim(self) -> int:
        """Length of the embedding."""
        return self.whole.dim + (0 if self.regional is None else self.regional.options.dim)

    def forward(self, images: Tensor) -> Outputs:
        """Encode images: float (n, 1, h, w), grey in [0, 1]; each network resizes them as it needs."""
        outputs: Outputs = self.whole(resized(images, self.size))
        if self.regional is None:
            return outputs
        regional = self.regional(resized(images, self.regional.options.size))
        return outputs._replace(embedding=functional.normalize(torch.cat([regional, outputs.embedding], dim=1), dim=1))
