"""The loss of the identity embedding, by name: pytorch-metric-learning's, P1's or P3's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn

from retrieval.errors import ConfigInvalid
from retrieval.losses.contrastive import EmbeddingContrastiveLoss
from retrieval.losses.memory import Memory
from retrieval.losses.pairs import BatchPairs, all_pairs
from retrieval.losses.verification import VerificationLoss


class LossName(StrEnum):
    """Losses that can be named.

    Sources: `supcon` Khosla et al. 2020, `multi_similarity` Wang et al. 2019, `triplet` Schroff et al. 2015, `circle`
    Sun et al. 2020, `ntxent` Sohn 2016, `proxy_anchor` Kim et al. 2020, `arcface` Deng et al. 2019, `contrastive` P1,
    `contrastive_squared` and `verification` P3.
    """

    SUPCON = "supcon"
    MULTI_SIMILARITY = "multi_similarity"
    TRIPLET = "triplet"
    CIRCLE = "circle"
    NTXENT = "ntxent"
    PROXY_ANCHOR = "proxy_anchor"
    ARCFACE = "arcface"
    CONTRASTIVE = "contrastive"
    CONTRASTIVE_SQUARED = "contrastive_squared"
    VERIFICATION = "verification"


class MinerName(StrEnum):
    """Which pairs or triplets of a batch are used.

    `auto`: the loss `multi_similarity` has its own miner, every other uses all. `semihard`: triplets whose negative is
    further than the positive, by less than the margin. `hard`: of each image the furthest positive and the nearest
    negative.
    """

    AUTO = "auto"
    ALL = "all"
    MULTI_SIMILARITY = "multi_similarity"
    SEMIHARD = "semihard"
    HARD = "hard"


ON_PAIRS = frozenset({LossName.CONTRASTIVE, LossName.CONTRASTIVE_SQUARED, LossName.VERIFICATION})
OF_CLASSES = frozenset({LossName.PROXY_ANCHOR, LossName.ARCFACE})
MARGINS = {
    LossName.CONTRASTIVE: 0.5,
    LossName.CONTRASTIVE_SQUARED: 2.0,
    LossName.TRIPLET: 0.2,
    LossName.CIRCLE: 0.4,
    LossName.PROXY_ANCHOR: 0.1,
    LossName.ARCFACE: 28.6,
}
_SCALES = {LossName.CIRCLE: 80.0, LossName.PROXY_ANCHOR: 32.0, LossName.ARCFACE: 64.0}


@dataclass(frozen=True)
class IdentityOptions:
    """How an identity loss is set up.

    Attributes:
        name: of the loss.
        temperature: of `supcon` and `ntxent`, > 0.
        margin: of `contrastive` (Euclidean distance of unit vectors, at most 2), `contrastive_squared` (its square, at
            most 4), `triplet` (as `contrastive`), `circle` and
            `proxy_anchor` (cosine), `arcface` (degrees); the loss's usual one if None.
        miner: which pairs are used. memory: how many images of earlier batches are compared with; 0 = none.

    Raises:
        ConfigInvalid: an option does not belong to the loss, or is out of range.
    """

    name: LossName = LossName.SUPCON
    temperature: float = 0.1
    margin: float | None = None
    miner: MinerName = MinerName.AUTO
    memory: int = 0

    def __post_init__(self) -> None:
        mined = self.name not in ON_PAIRS | OF_CLASSES
        if self.temperature <= 0:
            raise ConfigInvalid(f"temperature must be above 0, not {self.temperature}.")
        if self.margin is not None and self.name not in MARGINS:
            raise ConfigInvalid(f"The loss {self.name} has no margin; those that have one are {_listed(MARGINS)}.")
        if self.margin is not None and self.margin <= 0:
            raise ConfigInvalid(f"margin must be above 0, not {self.margin}.")
        furthest = {LossName.CONTRASTIVE: 2, LossName.CONTRASTIVE_SQUARED: 4}.get(self.name, math.inf)
        if self.margin is not None and self.margin > furthest:
            raise ConfigInvalid(
                f"margin must be at most {furthest}, the largest distance of embeddings, not {self.margin}."
            )
        if self.miner not in (MinerName.AUTO, MinerName.ALL) and not mined:
            raise ConfigInvalid(f"The loss {self.name} uses all its pairs; leave out miner.")
        if self.memory < 0 or (self.memory and not mined):
            raise ConfigInvalid(f"memory must be 0 with the loss {self.name}, and never negative.")


class IdentityLoss(nn.Module):
    """The loss that `IdentityOptions` describes, over the images of a batch.

    Losses of classes have a learned vector for each patient, the verification loss has a head: these are parameters to
    train along and to store.

    Args:
        options: which loss.
        classes: how many patients there are; used by losses of classes alone.
        dim: length of the embeddings.
    """

    def __init__(self, options: IdentityOptions, classes: int, dim: int) -> None:
        super().__init__()
        self.options = options
        miner = _miner(options)
        built = _build(options, classes, dim)
        self.loss = Memory(built, dim, options.memory, miner) if options.memory else built
        # The memory mines by itself, against all it remembers.
        self.miner = None if options.memory else miner

    def forward(self, embeddings: Tensor, patients: Tensor, pairs: BatchPairs | None = None) -> Tensor:
        """Cost of a batch.

        Args:
            embeddings: (n, dim), of any length above 0.
            patients: numbers int (n,), from 0 to below `classes`.
            pairs: for `contrastive` and `verification` the pairs to compare; all of the batch if None.

        Returns:
            A scalar.
        """
        if self.options.name in ON_PAIRS:
            return cast(Tensor, self.loss(embeddings, all_pairs(patients) if pairs is None else pairs))
        if self.miner is None:
            return cast(Tensor, self.loss(embeddings, patients))
        return cast(Tensor, self.loss(embeddings, patients, self.miner(embeddings, patients)))

    def similarity(self, embeddings: Tensor) -> Tensor:
        """How alike images are in what this loss learns: (n, n), the cosine, or the logit of the verification head.

        Args:
            embeddings: (n, dim), L2-normalised.
        """
        if isinstance(self.loss, VerificationLoss):
            head = self.loss.head
            return torch.stack([head(row.expand_as(embeddings), embeddings) for row in embeddings])
        return embeddings @ embeddings.T


def _build(options: IdentityOptions, classes: int, dim: int) -> nn.Module:
    name = options.name
    margin = _margin(options)
    match name:
        case LossName.SUPCON:
            built = losses.SupConLoss(temperature=options.temperature)
        case LossName.NTXENT:
            built = losses.NTXentLoss(temperature=options.temperature)
        case LossName.MULTI_SIMILARITY:
            built = losses.MultiSimilarityLoss()
        case LossName.TRIPLET:
            built = losses.TripletMarginLoss(margin=margin)
        case LossName.CIRCLE:
            built = losses.CircleLoss(m=margin, gamma=_SCALES[name])
        case LossName.PROXY_ANCHOR:
            built = losses.ProxyAnchorLoss(classes, dim, margin=margin, alpha=_SCALES[name])
        case LossName.ARCFACE:
            built = losses.ArcFaceLoss(classes, dim, margin=margin, scale=_SCALES[name])
        case LossName.CONTRASTIVE:
            built = EmbeddingContrastiveLoss(margin)
        case LossName.CONTRASTIVE_SQUARED:
            built = EmbeddingContrastiveLoss(margin, squared=True)
        case LossName.VERIFICATION:
            built = VerificationLoss(dim)
    return cast(nn.Module, built)


def _miner(options: IdentityOptions) -> nn.Module | None:
    chosen = options.miner
    if chosen is MinerName.AUTO and options.name is LossName.MULTI_SIMILARITY:
        chosen = MinerName.MULTI_SIMILARITY
    match chosen:
        case MinerName.MULTI_SIMILARITY:
            return cast(nn.Module, miners.MultiSimilarityMiner())
        case MinerName.SEMIHARD:
            return cast(nn.Module, miners.TripletMarginMiner(margin=_margin(options), type_of_triplets="semihard"))
        case MinerName.HARD:
            return cast(nn.Module, miners.BatchHardMiner())
        case _:
            return None


def _margin(options: IdentityOptions) -> float:
    usual = MARGINS.get(options.name, MARGINS[LossName.TRIPLET])
    return usual if options.margin is None else options.margin


def _listed(names: dict[LossName, float]) -> str:
    return ", ".join(sorted(names))
