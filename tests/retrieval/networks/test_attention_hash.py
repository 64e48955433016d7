from __future__ import annotations

import pytest
import torch

from retrieval.networks import AttentionHashNetwork, Backbone, Branches


@pytest.fixture(scope="module")
def network() -> AttentionHashNetwork:
    torch.manual_seed(0)
    return AttentionHashNetwork(Backbone("resnet18"), embedding_dim=48, bits=32, findings=5)


def test_one_pass_gives_every_output(network: AttentionHashNetwork) -> None:
    outputs = network.eval()(torch.rand(2, 1, 96, 96))
    assert outputs.embedding.shape == (2, 48)
    assert outputs.code.shape == (2, 32)
    assert outputs.findings.shape == (2, 5)
    assert outputs.attention.shape == (2, 3, 3)
    assert torch.allclose(outputs.embedding.norm(dim=1), torch.ones(2))


def test_each_head_trains_the_shared_backbone(network: AttentionHashNetwork) -> None:
    network.train()
    outputs = network(torch.rand(4, 1, 96, 96))
    for head in (outputs.embedding.square().sum(dim=1) + outputs.embedding[:, 0], outputs.code, outputs.findings):
        network.zero_grad()
        head.sum().backward(retain_graph=True)
        gradient = next(network.backbone.shallow.parameters()).grad
        assert gradient is not None
        assert gradient.abs().sum() > 0


def test_grey_input_is_normalised_as_the_backbone_expects() -> None:
    network = AttentionHashNetwork(Backbone("resnet18"), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0)).eval()
    seen = []
    network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.full((1, 1, 96, 96), 0.6))
    assert torch.allclose(seen[0][0, :, 0, 0], torch.tensor([1.0, 1.6, 0.3]))


def test_the_hash_branch_can_leave_the_backbone_alone() -> None:
    network = AttentionHashNetwork(Backbone("resnet18"), embedding_dim=16, bits=16).train()
    network.hash_trains_backbone = False
    network(torch.rand(2, 1, 96, 96)).code.sum().backward()
    assert all(parameter.grad is None for parameter in network.backbone.parameters())
    assert network.hash.weight.grad is not None


def test_frozen_stages_do_not_move() -> None:
    network = AttentionHashNetwork(Backbone("resnet18"), embedding_dim=16, bits=16)
    network.backbone.freeze(2)
    before = {key: value.clone() for key, value in network.backbone.shallow[:2].state_dict().items()}
    network.train()(torch.rand(2, 1, 96, 96)).embedding[:, 0].sum().backward()
    assert all(parameter.grad is None for parameter in network.backbone.shallow[:2].parameters())
    assert next(network.backbone.deep.parameters()).grad is not None
    assert all(torch.equal(value, before[key]) for key, value in network.backbone.shallow[:2].state_dict().items())


@pytest.mark.parametrize("branches", [Branches.LOCAL, Branches.GLOBAL])
def test_a_branch_that_is_left_out_has_no_weights_and_the_other_makes_the_code(branches: Branches) -> None:
    network = AttentionHashNetwork(Backbone("squeezenet1_1"), embedding_dim=8, bits=16, branches=branches).eval()
    outputs = network(torch.rand(2, 1, 64, 64))
    assert outputs.code.shape == (2, 16)
    names = {name.split(".")[0] for name, _ in network.named_parameters()}
    local = {"attention", "refine_local"}
    assert names & (local | {"refine_global"}) == (local if branches is Branches.LOCAL else {"refine_global"})
    assert bool(outputs.attention.any()) is (branches is Branches.LOCAL)
