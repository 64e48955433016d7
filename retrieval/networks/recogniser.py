"""The whole of what recognises a person: two networks that see one image in two ways."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.networks.attention_hash import AttentionHashNetwork, Outputs
from retrieval.networks.input import resized
from retrieval.networks.regional import RegionalNetwork


class Recogniser(nn.Module):
    """An attention-hash network, and beside it a regional network if there is one.

    The embedding has two parts: one sees what there is in the whole image, one which rib runs where. Each has a fixed
    length, so the cosine of two embeddings is the mean of the parts' cosines, weighed by `RegionalOptions.share`.

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
        options = self.regional.options
        parts = [
            math.sqrt(options.share) * self.regional(resized(images, options.size)),
            math.sqrt(1 - options.share) * outputs.embedding,
        ]
        return outputs._replace(embedding=functional.normalize(torch.cat(parts, dim=1), dim=1))
