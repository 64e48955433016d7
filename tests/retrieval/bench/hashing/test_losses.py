"""Each loss against values worked out by hand from its formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from retrieval.bench.hashing.losses import (
    AttentionHashLoss,
    DeepResidualHashingLoss,
    DeepSupervisedHashingLoss,
    TripletHashLoss,
)

NAN = float("nan")
# Images 0 and 1 share the first finding; image 2 has the other one.
LABELS = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
PATIENTS = torch.arange(3)
UNSURE = torch.zeros(3, 2)
ENTROPY = 2 * math.log(2)


def test_p4_joint_loss_by_hand() -> None:
    """Two bits, so m = √4 = 2: images 0 and 1 are 1 apart, 0 and 2 are √2, 1 and 2 are √5, beyond the margin."""
    codes = torch.tensor([[1.0, 1.0], [0.0, 1.0], [2.0, 0.0]])
    pulled = 0.5 * 1**2
    pushed = (0.5 * (2 - math.sqrt(2)) ** 2 + 0) / 2
    regular = (0 + 1 + (1 + 1)) / 3
    found = AttentionHashLoss(alpha=0.25, beta=0.5)(codes, UNSURE, PATIENTS, LABELS)
    assert found.item() == pytest.approx(0.5 * (pulled + pushed) + 0.25 * regular + 0.5 * ENTROPY, abs=1e-5)


def test_p4_s_entropy_by_hand() -> None:
    """Eq. 11 of one image with probabilities 0.8 and 0.4 of a finding that is there and one that is not."""
    logits = torch.tensor([[math.log(0.8 / 0.2), math.log(0.4 / 0.6)]])
    found = AttentionHashLoss(alpha=0, beta=1)(torch.ones(1, 2), logits, PATIENTS[:1], LABELS[:1])
    assert found.item() == pytest.approx(-math.log(0.8) - math.log(1 - 0.4), abs=1e-6)


def test_dsh_by_hand() -> None:
    """Two bits, so m = 4: ‖b₀−b₁‖² = 1, ‖b₀−b₂‖² = 2.25 + 1, ‖b₁−b₂‖² = 0.25 + 1; beyond m nothing is pushed."""
    codes = torch.tensor([[1.0, 1.0], [0.0, 1.0], [-0.5, 0.0]])
    away = [0.0, 1.0, 1.5]
    pairs = [
        0.5 * 1.0 + 0.01 * (away[0] + away[1]),
        0.5 * (4 - (2.25 + 1)) + 0.01 * (away[0] + away[2]),
        0.5 * (4 - (0.25 + 1)) + 0.01 * (away[1] + away[2]),
    ]
    found = DeepSupervisedHashingLoss()(codes, UNSURE, PATIENTS, LABELS)
    assert found.item() == pytest.approx(sum(pairs) / 3, abs=1e-6)
    far = DeepSupervisedHashingLoss(alpha=0)(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), UNSURE, PATIENTS, LABELS[1:])
    assert far.item() == 0.0


def test_drh_by_hand() -> None:
    """One bit, z = ½, ½, −½: squared distances 0, 1, 1; W = 2."""
    relaxed = torch.tensor([[0.5], [0.5], [-0.5]])
    weight = nn.Parameter(torch.tensor([[2.0]]))
    loss = DeepResidualHashingLoss(weight, quantised=0.1, balanced=0.2, orthogonal=0.3)
    found = loss(torch.atanh(relaxed), UNSURE, PATIENTS, LABELS)
    mate = 1 / (1 + math.exp(-1))
    supervised = 1 - (mate + mate + 0) / 3
    quantised, balanced = math.log(math.cosh(0.5)), -0.5 * 0.25
    orthogonal = 0.5 * (4 - 1) ** 2
    assert found.item() == pytest.approx(supervised + 0.1 * quantised + 0.2 * balanced + 0.3 * orthogonal, abs=1e-5)
    assert list(loss.parameters()) == []
    found.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(0.3 * (4 - 1) * 4)


def test_ath_by_hand() -> None:
    """Triplets (0, 1, 2) and (1, 0, 2); two bits, so m = 1."""
    codes = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.5]])
    first, second = max(0.0, 1 + 1 - 1.25), max(0.0, 1 + 1 - 0.25)
    found = TripletHashLoss()(codes, UNSURE, PATIENTS, LABELS)
    assert found.item() == pytest.approx((first + second) / 2 + ENTROPY, abs=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        AttentionHashLoss(),
        DeepSupervisedHashingLoss(),
        DeepResidualHashingLoss(nn.Parameter(torch.eye(4))),
        TripletHashLoss(),
    ],
    ids=lambda loss: type(loss).__name__,
)
class TestEveryLoss:
    def test_is_finite_where_nothing_is_known(self, loss: nn.Module) -> None:
        codes = torch.randn(3, 4, requires_grad=True)
        cost = loss(codes, UNSURE, PATIENTS, torch.full((3, 2), NAN))
        cost.backward() if cost.requires_grad else None
        assert torch.isfinite(cost)
        assert codes.grad is None or torch.isfinite(codes.grad).all()

    def test_falls_when_codes_follow_it(self, loss: nn.Module) -> None:
        torch.manual_seed(0)
        codes = nn.Parameter(0.1 * torch.randn(3, 4))
        optimiser = torch.optim.SGD([codes], lr=0.05)
        costs = []
        for _ in range(60):
            optimiser.zero_grad()
            cost = loss(codes, UNSURE, PATIENTS, LABELS)
            cost.backward()
            optimiser.step()
            costs.append(cost.item())
        assert costs[-1] < costs[0]
        bits = codes > 0
        assert (bits[0] != bits[1]).sum() < (bits[0] != bits[2]).sum()
