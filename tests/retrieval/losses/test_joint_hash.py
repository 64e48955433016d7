from __future__ import annotations

import math

import pytest
import torch

from retrieval.losses.joint_hash import JointHashLoss, findings_agreement, multi_label, quantisation

NAN = float("nan")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quantisation_is_the_mean_distance_from_plus_or_minus_one(dtype: torch.dtype) -> None:
    codes = torch.tensor([[1.0, -1.0], [0.5, -2.0]], dtype=dtype)
    assert quantisation(codes).item() == pytest.approx((0 + 0 + 0.5 + 1.0) / 4)


def test_cross_entropy_sums_findings_and_leaves_out_unknown_ones() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [100.0, 0.0]])
    findings = torch.tensor([[1.0, 1.0], [NAN, 0.0]])
    by_hand = ((math.log(2) + math.log(4 / 3)) + math.log(2)) / 2
    assert multi_label(logits, findings).item() == pytest.approx(by_hand, rel=1e-5)


def test_unknown_findings_pull_no_gradient() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    multi_label(logits, torch.tensor([[NAN, 1.0]])).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] == 0
    assert logits.grad[0, 1] == -0.5


def test_agreement_needs_the_same_known_findings() -> None:
    findings = torch.tensor([[1.0, NAN], [1.0, 0.0], [0.0, 0.0], [1.0, NAN], [NAN, NAN]])
    similar, dissimilar = findings_agreement(findings)
    assert similar[0].tolist() == [True, False, False, True, False]
    assert dissimilar[0].tolist() == [False, False, True, False, False]
    assert not similar[4].any()
    assert not dissimilar[4].any()


def test_joint_loss_is_the_sum_worked_out_by_hand() -> None:
    """Two images of one patient (distance 1 in the identity half), with different findings (distance 0 there)."""
    codes = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    findings = torch.tensor([[1.0], [0.0]])
    loss = JointHashLoss(alpha=0.5, beta=0.5, margin=0.5)
    identity = 0.5 * (0.5 * 1.0**2)
    meaning = 0.5 * (0.5 * 0.5**2)
    quantised = 1.0 / 4
    entropy = (math.log(2) + math.log(2)) / 2
    total = loss(codes, torch.zeros(2, 1), torch.tensor([7, 7]), findings).item()
    assert total == pytest.approx(identity + meaning + 0.5 * quantised + 0.5 * entropy, abs=1e-5)


def test_binary_codes_that_differ_in_half_their_bits_are_far_enough_apart() -> None:
    codes = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, 1.0]])
    unknown = torch.full((2, 1), NAN)
    loss = JointHashLoss(alpha=0.5, beta=0.5)
    assert loss(codes, torch.zeros(2, 1), torch.tensor([0, 1]), unknown).item() == pytest.approx(0.0, abs=1e-6)
