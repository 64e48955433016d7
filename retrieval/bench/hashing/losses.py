"""What the hash networks of P4's tables minimise, each on the real-valued codes of a batch.

All are called like `JointHashLoss`: codes float (n, bits), logits float (n, C), patients int (n,), labels float (n, C)
with NaN for unknown; the result is a scalar. Which images are similar, `sharing` says.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.bench.hashing.labels import sharing
from retrieval.losses.contrastive import ContrastiveLoss, root
from retrieval.losses.joint_hash import multi_label
from retrieval.losses.pairs import balanced_mean


class AttentionHashLoss(nn.Module):
    """P4's `L = L_c + α·L_r + β·L_cb` as it is printed, similar being images that share a finding.

    `L_c` is the contrastive loss of the Euclidean distance of two codes, the mean of similar and that of dissimilar
    pairs weighing the same; `L_r = ‖ |f| − 1 ‖₁` and `L_cb` are sums over bits and findings, averaged over images. The
    paper does not print its margin: √(2·bits), from which on two codes of ±1 differ in half of their bits.

    Source: P4, eq. 8 to 12.
    """

    def __init__(self, alpha: float = 0.5, beta: float = 0.5) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta

    def forward(self, codes: Tensor, logits: Tensor, patients: Tensor, labels: Tensor) -> Tensor:
        """Cost of a batch."""
        similar, dissimilar = sharing(labels)
        rows, columns = torch.triu_indices(len(codes), len(codes), offset=1, device=codes.device)
        rows, columns = (side[(similar | dissimilar)[rows, columns]] for side in (rows, columns))
        alike = similar[rows, columns]
        distance = root((codes[rows] - codes[columns]).square().sum(dim=1))
        contrastive = ContrastiveLoss(math.sqrt(2 * codes.shape[1]))
        pairs = balanced_mean(contrastive(distance, (~alike).to(distance.dtype)), alike)
        regular = (codes.abs() - 1).abs().sum(dim=1).mean()
        return pairs + self.alpha * regular + self.beta * multi_label(logits, labels)


class DeepSupervisedHashingLoss(nn.Module):
    """DSH: `½(1−y)‖b₁−b₂‖² + ½y·max(m − ‖b₁−b₂‖², 0) + α(‖|b₁|−1‖₁ + ‖|b₂|−1‖₁)`, mean over pairs, m = 2·bits.

    Source: Liu et al. 2016, CVPR, eq. 4.
    """

    def __init__(self, alpha: float = 0.01) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, codes: Tensor, logits: Tensor, patients: Tensor, labels: Tensor) -> Tensor:
        """Cost of a batch; without a pair of which anything is known, 0."""
        similar, dissimilar = sharing(labels)
        rows, columns = torch.triu_indices(len(codes), len(codes), offset=1, device=codes.device)
        squared = (codes[rows] - codes[columns]).square().sum(dim=1)
        away = (codes.abs() - 1).abs().sum(dim=1)
        alike, unlike = similar[rows, columns], dissimilar[rows, columns]
        pushed = (2.0 * codes.shape[1] - squared).clamp(min=0)
        cost = 0.5 * torch.where(alike, squared, pushed) + self.alpha * (away[rows] + away[columns])
        known = alike | unlike
        return cost[known].mean() if bool(known.any()) else 0.0 * codes.sum()


class DeepResidualHashingLoss(nn.Module):
    """DRH: `J_S + λ_q·J_Q + λ_b·J_B + λ_o·J_O` on relaxed codes z = tanh(f).

    `J_S = 1 − 1/N·Σᵢⱼ pᵢⱼ·sᵢⱼ` (neighbourhood components: pᵢⱼ is the softmax of −‖zᵢ−zⱼ‖² over j ≠ i), quantisation
    `J_Q = 1/N·Σ log cosh(|z| − 1)`, bit balance `J_B = −½·tr(Z Zᵀ)/N`, orthogonality `J_O = ½‖WWᵀ − I‖²` of the hash
    layer.

    Args:
        weight: W (bits, features) of the hash layer, trained with the network. quantised, balanced, orthogonal: λ.

    Source: Conjeti et al. 2017, MICCAI (arXiv 1612.05400).
    """

    def __init__(
        self, weight: Tensor, quantised: float = 0.05, balanced: float = 0.025, orthogonal: float = 0.01
    ) -> None:
        super().__init__()
        # Not a parameter of this module: the optimiser has it from the network.
        self._weight = (weight,)
        self.quantised, self.balanced, self.orthogonal = quantised, balanced, orthogonal

    def forward(self, codes: Tensor, logits: Tensor, patients: Tensor, labels: Tensor) -> Tensor:
        """Cost of a batch."""
        relaxed, weight = torch.tanh(codes), self._weight[0]
        similar = sharing(labels)[0].to(codes.dtype)
        squared = (relaxed[:, None] - relaxed[None, :]).square().sum(dim=2)
        himself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
        chosen = torch.softmax((-squared).masked_fill(himself, -torch.inf), dim=1)
        supervised = 1 - (chosen * similar).sum() / len(codes)
        away = relaxed.abs() - 1
        # log cosh(x) without overflow.
        quantised = (away.abs() + functional.softplus(-2 * away.abs()) - math.log(2)).sum() / len(codes)
        balanced = -0.5 * relaxed.square().sum() / len(codes)
        identity = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
        orthogonal = 0.5 * (weight @ weight.T - identity).square().sum()
        return supervised + self.quantised * quantised + self.balanced * balanced + self.orthogonal * orthogonal


class TripletHashLoss(nn.Module):
    """ATH: triplet `max(0, m + ‖q−p‖² − ‖q−n‖²)` plus the cross-entropy of the findings.

    The mean is over all triplets of the batch in which p shares a finding with q and n has different ones; m is half
    the number of bits. An image may have several findings, hence the binary cross-entropy of P4.

    Source: Fang, Fu and Liu 2021, Medical Image Analysis (triplet cross-entropy loss).
    """

    def forward(self, codes: Tensor, logits: Tensor, patients: Tensor, labels: Tensor) -> Tensor:
        """Cost of a batch; without any triplet, the cross-entropy alone."""
        similar, dissimilar = sharing(labels)
        himself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
        squared = (codes[:, None] - codes[None, :]).square().sum(dim=2)
        triplets = (similar & ~himself)[:, :, None] & dissimilar[:, None, :]
        hinge = (0.5 * codes.shape[1] + squared[:, :, None] - squared[:, None, :]).clamp(min=0)
        entropy = multi_label(logits, labels)
        return hinge[triplets].mean() + entropy if bool(triplets.any()) else entropy
