"""P4's joint loss for hash codes: contrastive, quantisation and multi-label cross-entropy."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.losses.contrastive import ContrastiveLoss, root
from retrieval.losses.pairs import balanced_mean


class JointHashLoss(nn.Module):
    """`L = L_c + α·L_r + β·L_cb` on the real-valued codes of a batch.

    `L_c` is taken over all pairs of the batch, once on the identity half with "same patient" and once on the findings
    half with "same findings"; similar and dissimilar pairs are averaged apart and weigh the same, as in balanced pair
    lists. Distances are root mean squares over the bits, so two codes of ±1 that differ in a share s of their bits are
    2·√s apart and the margin √2 asks unrelated images to differ in half of them.

    Args:
        alpha: weight of the quantisation `mean | |f| − 1 |`.
        beta: weight of the cross-entropy; findings that are unknown (NaN) are left out.
        margin: m of the contrastive loss.

    Source: P4, eq. 8 to 12.
    """

    def __init__(self, alpha: float = 0.5, beta: float = 0.5, margin: float = math.sqrt(2)) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.contrastive = ContrastiveLoss(margin)

    def forward(self, codes: Tensor, logits: Tensor, patients: Tensor, findings: Tensor) -> Tensor:
        """Cost of a batch.

        Args:
            codes: float (n, bits), real-valued.
            logits: float (n, C) of the classification layer.
            patients: int (n,).
            findings: float (n, C), 0, 1, or NaN where not known.

        Returns:
            A scalar.
        """
        identity, meaning = codes.chunk(2, dim=1)
        same_patient = patients[:, None] == patients[None, :]
        similar, dissimilar = findings_agreement(findings)
        of_patients = contrast(identity, same_patient, ~same_patient, self.contrastive)
        of_findings = contrast(meaning, similar, dissimilar, self.contrastive)
        return of_patients + of_findings + self.alpha * quantisation(codes) + self.beta * multi_label(logits, findings)


def contrast(codes: Tensor, similar: Tensor, dissimilar: Tensor, contrastive: ContrastiveLoss) -> Tensor:
    """Contrastive loss over all pairs of a batch, distances being root mean squares over the bits; a scalar.

    Args:
        codes: float (n, bits). similar, dissimilar: bool (n, n); pairs that are neither cost nothing.
    """
    rows, columns = torch.triu_indices(len(codes), len(codes), offset=1, device=codes.device)
    alike, unlike = similar[rows, columns], dissimilar[rows, columns]
    known = alike | unlike
    rows, columns, alike = rows[known], columns[known], alike[known]
    distance = root((codes[rows] - codes[columns]).square().mean(dim=1))
    return balanced_mean(contrastive(distance, (~alike).to(distance.dtype)), alike)


def quantisation(codes: Tensor) -> Tensor:
    """Mean distance of |f| from 1, codes (n, bits); a scalar. Source: P4, eq. 10."""
    return (codes.abs() - 1).abs().mean()


def multi_label(logits: Tensor, findings: Tensor) -> Tensor:
    """Binary cross-entropy summed over findings and averaged over images, unknown ones left out. Source: P4, eq. 11."""
    known = ~findings.isnan()
    cost = functional.binary_cross_entropy_with_logits(logits, findings.nan_to_num(0.0), reduction="none")
    return (cost * known).sum(dim=1).mean()


def findings_agreement(findings: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs of images have the same findings and which have not.

    Args:
        findings: float (n, C), 0, 1 or NaN (unknown).

    Returns:
        similar, dissimilar: bool (n, n). Similar: the same findings are known and agree. Dissimilar: one that is known
        of both differs. Neither, where too little is known.
    """
    known = ~findings.isnan()
    values = findings.nan_to_num(0.0)
    both = known[:, None] & known[None, :]
    dissimilar = (both & (values[:, None] != values[None, :])).any(dim=2)
    alike = (known[:, None] == known[None, :]).all(dim=2) & known.any(dim=1)[:, None]
    return alike & ~dissimilar, dissimilar
