from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from retrieval.errors import ConfigInvalid
from retrieval.losses.identity import OF_CLASSES, IdentityLoss, IdentityOptions, LossName, MinerName
from retrieval.losses.pairs import BatchPairs

PATIENTS = torch.arange(6).repeat_interleave(2)
APART = torch.eye(6).repeat_interleave(2, dim=0)
CONFUSED = APART[[0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 11]]


def made(name: LossName, **options: object) -> IdentityLoss:
    torch.manual_seed(0)
    return IdentityLoss(IdentityOptions(name, **options), classes=6, dim=6)  # type: ignore[arg-type]


def test_two_opposite_pairs_cost_what_the_formula_says() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    loss = IdentityLoss(IdentityOptions(temperature=0.5), classes=2, dim=2)
    by_hand = -2.0 + math.log(math.exp(2.0) + 2 * math.exp(-2.0))
    assert math.isclose(loss(embeddings, torch.tensor([0, 0, 1, 1])).item(), by_hand, rel_tol=1e-5)


@pytest.mark.parametrize("name", sorted(set(LossName) - OF_CLASSES - {LossName.VERIFICATION}))
def test_confusing_people_costs_more_than_telling_them_apart(name: LossName) -> None:
    loss = made(name)
    assert loss(CONFUSED, PATIENTS) > loss(APART, PATIENTS) + 0.04


@pytest.mark.parametrize("name", LossName)
def test_descending_a_loss_tells_people_apart(name: LossName) -> None:
    """From random embeddings, until each image's nearest neighbour in what the loss learns is its partner."""
    torch.manual_seed(0)
    loss = IdentityLoss(IdentityOptions(name), classes=6, dim=24)
    embeddings = torch.nn.Parameter(torch.randn(12, 24))
    optimiser = torch.optim.Adam([embeddings, *loss.parameters()], lr=0.05)
    first = None
    for _ in range(150):
        unit = functional.normalize(embeddings, dim=1)
        cost = loss(unit, PATIENTS)
        first = cost.item() if first is None else first
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
    assert cost.item() < 0.5 * first
    likeness = loss.similarity(functional.normalize(embeddings, dim=1).detach()).fill_diagonal_(-math.inf)
    assert torch.equal(PATIENTS[likeness.argmax(dim=1)], PATIENTS)


@pytest.mark.parametrize("name", sorted(OF_CLASSES | {LossName.VERIFICATION}))
def test_losses_that_learn_have_parameters_with_gradients(name: LossName) -> None:
    loss = made(name)
    loss(functional.normalize(torch.randn(12, 6), dim=1), PATIENTS).backward()
    parameters = list(loss.parameters())
    assert parameters
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in parameters)


def test_contrastive_loss_of_a_pair_list_is_worked_out_by_hand() -> None:
    """Unit vectors at 90° are √2 apart, at 60° 1 apart: ½·(½·1²) for the positive, ½·½·(1.5−√2)² for the negative."""
    embeddings = torch.tensor([[2.0, 0.0], [0.5, math.sqrt(0.75)], [0.0, 3.0]])
    pairs = BatchPairs(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([True, False]))
    cost = made(LossName.CONTRASTIVE, margin=1.5)(embeddings, torch.tensor([0, 0, 1]), pairs)
    assert cost.item() == pytest.approx(0.5 * 0.5 + 0.5 * 0.5 * (1.5 - math.sqrt(2)) ** 2, rel=1e-5)


def test_squared_contrastive_loss_of_a_pair_list_is_worked_out_by_hand() -> None:
    """The same vectors: squared distances 1 and 2, so ½·(½·1) for the positive, ½·½·(3−2)² for the negative."""
    embeddings = torch.tensor([[2.0, 0.0], [0.5, math.sqrt(0.75)], [0.0, 3.0]])
    pairs = BatchPairs(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([True, False]))
    cost = made(LossName.CONTRASTIVE_SQUARED, margin=3.0)(embeddings, torch.tensor([0, 0, 1]), pairs)
    assert cost.item() == pytest.approx(0.25 + 0.25, rel=1e-5)


def test_binary_cross_entropy_of_the_head_is_worked_out_by_hand() -> None:
    """P3, eq. 24: a head that always says ln 3, so p = ¾: ½·(−ln ¾) for the positive, ½·(−ln ¼) for the negative."""
    loss = made(LossName.VERIFICATION)
    parameters = list(loss.parameters())
    with torch.no_grad():
        for parameter in parameters:
            parameter.zero_()
        parameters[-1].fill_(math.log(3))
    pairs = BatchPairs(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([True, False]))
    cost = loss(torch.randn(3, APART.shape[1]), torch.tensor([0, 0, 1]), pairs)
    assert cost.item() == pytest.approx(-0.5 * math.log(3 / 4) - 0.5 * math.log(1 / 4), rel=1e-5)


def test_verification_starts_at_chance_and_does_not_mind_the_order() -> None:
    loss = made(LossName.VERIFICATION)
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.zero_()
    assert loss(APART, PATIENTS).item() == pytest.approx(math.log(2))
    matrix = made(LossName.VERIFICATION).similarity(functional.normalize(torch.randn(5, 6), dim=1))
    assert torch.allclose(matrix, matrix.T, atol=1e-5)


def test_memory_makes_negatives_of_earlier_batches() -> None:
    """Alone, a batch of one well-recognised patient costs little; beside a remembered look-alike it costs more."""
    loss = made(LossName.SUPCON, memory=12)
    alone = loss(APART[:2], torch.tensor([0, 0])).item()
    assert alone == pytest.approx(0.0, abs=1e-5)
    assert loss(APART[:2], torch.tensor([1, 1])).item() > 0.5


def test_memory_is_stored_with_its_place_in_the_queue() -> None:
    loss = made(LossName.MULTI_SIMILARITY, memory=8)
    torch.manual_seed(2)
    batches = [functional.normalize(torch.randn(6, 6), dim=1) for _ in range(4)]
    for batch in batches[:3]:
        loss(batch, PATIENTS[:6])
    again = made(LossName.MULTI_SIMILARITY, memory=8)
    again.load_state_dict({key: value.clone() for key, value in loss.state_dict().items()})
    assert torch.equal(again(batches[3], PATIENTS[:6]), loss(batches[3], PATIENTS[:6]))
    assert torch.equal(again.loss.embedding_memory, loss.loss.embedding_memory)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (LossName.SUPCON, {"margin": 0.5}, "no margin"),
        (LossName.CONTRASTIVE, {"margin": 2.5}, "at most 2"),
        (LossName.CONTRASTIVE_SQUARED, {"margin": 4.5}, "at most 4"),
        (LossName.TRIPLET, {"margin": 0.0}, "above 0"),
        (LossName.NTXENT, {"temperature": 0.0}, "temperature"),
        (LossName.ARCFACE, {"miner": MinerName.HARD}, "leave out miner"),
        (LossName.CONTRASTIVE, {"memory": 100}, "memory"),
    ],
)
def test_options_that_do_not_fit_are_refused(name: LossName, options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        IdentityOptions(name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("miner", MinerName)
def test_every_miner_works_with_triplets_and_with_memory(miner: MinerName) -> None:
    for memory in (0, 24):
        loss = made(LossName.TRIPLET, miner=miner, memory=memory)
        embeddings = torch.nn.Parameter(CONFUSED + 0.01 * torch.randn(12, 6))
        cost = loss(embeddings, PATIENTS)
        cost.backward()
        assert torch.isfinite(cost)
