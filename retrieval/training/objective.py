"""What a training run minimises: the weighted sum of the embedding's, the hash code's and the identity code's loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from retrieval.losses import IdentityLoss, IdentityOptions, JointHashLoss
from retrieval.networks import Outputs
from retrieval.training.config import LossConfig, NetworkConfig
from retrieval.training.material import Batch


@dataclass(frozen=True, eq=False)
class Parts:
    """Scalars: the weighted sum that is minimised, and its parts before weighting (0 where a weight is 0)."""

    total: Tensor
    identity: Tensor
    joint: Tensor
    code: Tensor


class Objective(nn.Module):
    """The losses of a run; its parameters (classes, verification head) are trained along with the network.

    Args:
        losses: which, and how they weigh.
        network: whose outputs it is put on.
        patients: how many there are in the material.
        joint: loss of the hash code, called as `JointHashLoss` is and in its place; that one if None.
    """

    def __init__(
        self, losses: LossConfig, network: NetworkConfig, patients: int, joint: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.config = losses
        self.identity = IdentityLoss(losses.options, patients, network.embedding_dim)
        self.joint = JointHashLoss(losses.alpha, losses.beta, losses.hash_margin) if joint is None else joint
        self.code = IdentityLoss(IdentityOptions(temperature=losses.temperature), patients, network.bits // 2)

    def forward(self, outputs: Outputs, batch: Batch) -> Parts:
        """Cost of a batch of n images; all on one device."""
        weights = self.config
        identity = joint = code = torch.zeros((), device=outputs.embedding.device)
        if weights.identity_weight:
            identity = self.identity(outputs.embedding, batch.patients, batch.pairs)
        if weights.hash_weight:
            joint = cast(Tensor, self.joint(outputs.code, outputs.findings, batch.patients, batch.findings))
        if weights.code_weight:
            code = self.code(torch.tanh(outputs.code.chunk(2, dim=1)[0]), batch.patients)
        total = weights.identity_weight * identity + weights.hash_weight * joint + weights.code_weight * code
        return Parts(total, identity, joint, code)
