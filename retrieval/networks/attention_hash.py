"""The network of this product: one backbone, an identity embedding (P1) and an attention-hash code (P4) in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.networks.attention import Descriptor, SpatialAttention
from retrieval.networks.backbone import Backbone
from retrieval.networks.pooling import GeneralisedMeanPool
from retrieval.networks.refine import Refine

_REFINED = 256
_FUSED = 512


class Branches(StrEnum):
    """What the hash code is made from: the whole feature map, what attention leaves of it, or both (P4, table 5)."""

    BOTH = "both"
    GLOBAL = "global"
    LOCAL = "local"


class Outputs(NamedTuple):
    """What one forward pass gives for n images.

    embedding: float32 (n, dim), L2-normalised. code: float32 (n, bits), real-valued, its sign is the bit.
    findings: float32 (n, C) logits. attention: (n, h, w) in (-1, 1), 0 without a local branch.
    shallow, deep: the backbone's feature maps.
    """

    embedding: Tensor
    code: Tensor
    findings: Tensor
    attention: Tensor
    shallow: Tensor
    deep: Tensor


class AttentionHashNetwork(nn.Module):
    """Siamese identity embedding and attention-hash code on one shared backbone.

    Siamese, because every image goes through these same weights and images are compared by distance. The first
    half of the code is trained for identity, the second for findings.

    Args:
        backbone: feature extractor, see `Backbone`.
        embedding_dim: length of the identity embedding.
        bits: code length, a multiple of 16 (two halves of whole bytes).
        findings: number C of findings in the classification layer.
        mean, std: what the backbone's weights expect of RGB input in [0, 1].
        branches, descriptors: of the hash code; all in the paper and in this product.

    While training, `hash_trains_backbone` says whether the gradient of the hash branch reaches the backbone, as in the
    paper.

    Sources: P1 (Siamese comparison), P4 (attention, fusion, hash layer).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Backbone,
        embedding_dim: int = 256,
        bits: int = 128,
        findings: int = 4,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        branches: Branches = Branches.BOTH,
        descriptors: Sequence[Descriptor] = tuple(Descriptor),
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, 3, 1, 1), persistent=False)
        self.pool = GeneralisedMeanPool()
        self.identity = nn.Linear(backbone.channels, embedding_dim)
        self.branches = branches
        if branches is not Branches.GLOBAL:
            self.local_pool = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
            self.attention = SpatialAttention(descriptors=descriptors)
        if branches is not Branches.LOCAL:
            self.refine_global = Refine(backbone.channels, _REFINED)
        if branches is not Branches.GLOBAL:
            self.refine_local = Refine(backbone.channels, _REFINED)
        width = _REFINED * (2 if branches is Branches.BOTH else 1)
        self.fusion = nn.Sequential(nn.Linear(width, _FUSED), nn.ReLU())
        self.hash = nn.Linear(_FUSED, bits)
        self.classifier = nn.Linear(bits, findings)
        self.hash_trains_backbone = True

    def forward(self, images: Tensor) -> Outputs:
        """Encode images: float (n, 1, h, w), grey in [0, 1]."""
        shallow, deep = self.backbone((images - self.mean) / self.std)
        code, attention = self._hash(deep if self.hash_trains_backbone else deep.detach())
        findings = self.classifier(code).float()
        embedding = functional.normalize(self.identity(self.pool(deep)).float(), dim=1)
        return Outputs(embedding, code.float(), findings, attention.squeeze(1), shallow, deep)

    @property
    def dim(self) -> int:
        """Length of the identity embedding."""
        return self.identity.out_features

    def _hash(self, deep: Tensor) -> tuple[Tensor, Tensor]:
        refined, attention = [], torch.zeros_like(deep[:, :1])
        if self.branches is not Branches.LOCAL:
            refined.append(self.refine_global(deep))
        if self.branches is not Branches.GLOBAL:
            strongest = self.local_pool(deep)
            attention = self.attention(strongest)
            refined.append(self.refine_local(attention * strongest))
        return self.hash(self.fusion(torch.cat(refined, dim=1))), attention
