"""The training losses, one a file."""

from retrieval.losses.contrastive import ContrastiveLoss
from retrieval.losses.identity import IdentityLoss
from retrieval.losses.joint_hash import JointHashLoss

__all__ = ["ContrastiveLoss", "IdentityLoss", "JointHashLoss"]
