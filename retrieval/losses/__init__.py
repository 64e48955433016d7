"""The training losses, one a file."""

from retrieval.losses.contrastive import ContrastiveLoss, EmbeddingContrastiveLoss
from retrieval.losses.identity import IdentityLoss, IdentityOptions, LossName, MinerName
from retrieval.losses.joint_hash import JointHashLoss
from retrieval.losses.pairs import BatchPairs

__all__ = [
    "BatchPairs",
    "ContrastiveLoss",
    "EmbeddingContrastiveLoss",
    "IdentityLoss",
    "IdentityOptions",
    "JointHashLoss",
    "LossName",
    "MinerName",
]
