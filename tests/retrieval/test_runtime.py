from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from retrieval.networks import AttentionHashNetwork, Backbone
from retrieval.networks.input import network_input
from retrieval.runtime import BATCH, Forward, computes_bfloat16, fold_normalisation, is_device_failure, place_of

SIZE = 96


def network(backbone: str) -> AttentionHashNetwork:
    """A network whose normalisation layers have seen something, so that folding them is more than a copy."""
    torch.manual_seed(0)
    made = AttentionHashNetwork(Backbone(backbone), embedding_dim=32, bits=32)
    made.train()
    for seed in range(3):
        made(chests(8, seed))
    return made.eval()


def chests(n: int, seed: int) -> Tensor:
    grey = torch.randint(0, 256, (n, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return network_input(grey, SIZE)


def layers(part: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in part.modules())


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet18"])
def test_folding_takes_every_normalisation_away_and_changes_no_output(backbone: str) -> None:
    plain = network(backbone)
    folded = copy.deepcopy(plain)
    fold_normalisation(folded)
    assert layers(plain, nn.BatchNorm2d) > 0 == layers(folded, nn.BatchNorm2d)
    with torch.inference_mode():
        for name, expected, found in zip(
            plain(chests(2, 9))._fields, plain(chests(2, 9)), folded(chests(2, 9)), strict=True
        ):
            assert torch.allclose(expected, found, rtol=1e-3, atol=1e-3), name


def test_a_part_that_cannot_be_traced_keeps_its_normalisation() -> None:
    class Branching(nn.Module):
        def __init__(self, part: nn.Module) -> None:
            super().__init__()
            self.part = part

        def forward(self, maps: Tensor) -> Tensor:
            return self.part(maps) if maps.sum() > 0 else self.part(-maps)

    one = network("resnet18")
    one.refine_local = Branching(one.refine_local)
    with torch.inference_mode():
        expected = one(chests(2, 9)).code
        fold_normalisation(one)
        assert layers(one, nn.BatchNorm2d) == layers(one.refine_local, nn.BatchNorm2d) > 0
        assert torch.allclose(one(chests(2, 9)).code, expected, rtol=1e-3, atol=1e-3)


def test_forward_is_the_network_in_both_precisions() -> None:
    one = network("mobilenet_v2")
    batch = chests(3, 5)
    with torch.inference_mode():
        expected = one(batch).embedding
        for half, least in ((False, 0.9999), (True, 0.98)):
            forward = Forward(copy.deepcopy(one), torch.device("cpu"), half, SIZE)
            assert not forward.recorded
            assert float((forward(batch).embedding * expected).sum(dim=1).min()) > least


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("CUDA error: an illegal memory access was encountered", True),
        ("CUDA out of memory. Tried to allocate 2.00 GiB", True),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_errors_of_the_gpu_are_told_from_errors_of_the_program(text: str, broken: bool) -> None:
    assert is_device_failure(RuntimeError(text)) is broken


def test_automatic_device_is_one_that_exists() -> None:
    place = place_of("auto")
    assert place.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert torch.zeros(1, device=place) + 1 == 1
    assert place_of("cuda:1") == torch.device("cuda", 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device in this machine")
def test_a_recorded_pass_gives_what_the_plain_one_gives() -> None:
    place = torch.device("cuda")
    forward = Forward(network("mobilenet_v2"), place, computes_bfloat16(place), SIZE)
    assert forward.recorded
    with torch.inference_mode():
        for n in (1, BATCH, BATCH + 3):
            batch = chests(n, n).to(place)
            recorded, plain = forward(batch), forward.plain(batch)
            for name, expected, found in zip(plain._fields, plain, recorded, strict=True):
                assert torch.allclose(expected.float(), found.float(), rtol=2e-2, atol=2e-2), name
