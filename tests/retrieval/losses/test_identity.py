from __future__ import annotations

import math

import torch

from retrieval.losses.identity import IdentityLoss


def test_two_opposite_pairs_cost_what_the_formula_says() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    cost = IdentityLoss(temperature=0.5)(embeddings, torch.tensor([0, 0, 1, 1]))
    by_hand = -2.0 + math.log(math.exp(2.0) + 2 * math.exp(-2.0))
    assert math.isclose(cost.item(), by_hand, rel_tol=1e-5)


def test_confusing_two_people_costs_more_than_telling_them_apart() -> None:
    patients = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    confused = apart[[0, 2, 1, 3]]
    assert IdentityLoss()(confused, patients) > IdentityLoss()(apart, patients) + 1
