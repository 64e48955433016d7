from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from retrieval.errors import ConfigInvalid
from retrieval.networks import AttentionHashNetwork, Backbone, Recogniser, RegionalNetwork
from retrieval.networks.atlas import laid, structure
from retrieval.regional_options import RegionalOptions

OPTIONS = RegionalOptions(backbone="squeezenet1_1", stages=5, regions=3, dim=24, size=64)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    torch.manual_seed(0)
    whole = AttentionHashNetwork(Backbone("resnet18"), embedding_dim=16, bits=16)
    return Recogniser(whole, 96, RegionalNetwork(OPTIONS)).eval()


def test_embedding_has_the_length_that_was_asked_for() -> None:
    network = RegionalNetwork(OPTIONS).eval()
    embedding = network(torch.rand(2, 1, 64, 64))
    assert embedding.shape == (2, 24)
    assert torch.allclose(embedding.norm(dim=1), torch.ones(2))


def test_grey_input_is_normalised_as_the_trunk_expects() -> None:
    network = RegionalNetwork(OPTIONS, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0)).eval()
    seen = []
    network.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.full((1, 1, 64, 64), 0.6))
    assert torch.allclose(seen[0][0, :, 0, 0], torch.tensor([1.0, 1.6, 0.3]))


@pytest.mark.parametrize("key", ["stages", "dim", "size"])
def test_options_out_of_range_are_refused(key: str) -> None:
    with pytest.raises(ConfigInvalid, match=key):
        RegionalOptions(**{key: 0})


def test_the_parts_count_as_the_options_say() -> None:
    torch.manual_seed(0)
    whole = AttentionHashNetwork(Backbone("resnet18"), embedding_dim=16, bits=16)
    recogniser = Recogniser(whole, 96, RegionalNetwork(replace(OPTIONS, share=0.8))).eval()
    with torch.inference_mode():
        first, second = recogniser(torch.rand(2, 1, 96, 96)).embedding
    regional = torch.cosine_similarity(first[:24], second[:24], dim=0)
    rest = torch.cosine_similarity(first[24:], second[24:], dim=0)
    assert torch.isclose(first @ second, 0.8 * regional + 0.2 * rest, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_part_that_does_not_count_is_refused(share: float) -> None:
    with pytest.raises(ConfigInvalid, match="share"):
        RegionalOptions(share=share)


def test_an_aligned_network_sees_the_chest_where_the_mean_chest_lies() -> None:
    torch.manual_seed(0)
    network = RegionalNetwork(replace(OPTIONS, aligned=True)).eval()
    image = torch.rand(1, 1, 16, 16)
    image = torch.nn.functional.interpolate(image, (64, 64), mode="bicubic").clamp(0, 1)
    assert network.atlas is not None
    network.atlas.mean_chest.copy_(structure(image))
    moved = laid(image, torch.tensor([[0.0, 0.0, 0.0, 0.15, 0.15]]), "border")
    seen: list[torch.Tensor] = []
    network.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, :, 16:48, 16:48]))
    with torch.inference_mode():
        network(torch.cat([image, moved]))
        network.atlas = None
        network(torch.cat([image, moved]))
    aligned, plain = (float((first - second).abs().mean()) for first, second in seen)
    assert aligned < 0.5 * plain


def test_the_cosine_of_two_embeddings_is_the_mean_of_the_parts(recogniser: Recogniser) -> None:
    with torch.inference_mode():
        first, second = recogniser(torch.rand(2, 1, 96, 96)).embedding
    assert recogniser.dim == len(first) == 40
    regional = torch.cosine_similarity(first[:24], second[:24], dim=0)
    whole = torch.cosine_similarity(first[24:], second[24:], dim=0)
    assert torch.isclose(first @ second, (regional + whole) / 2, atol=1e-6)


def test_each_network_sees_the_image_at_its_own_size(recogniser: Recogniser) -> None:
    seen: list[int] = []
    assert recogniser.regional is not None
    hooks = [
        part.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
        for part in (recogniser.whole, recogniser.regional)
    ]
    with torch.inference_mode():
        recogniser(torch.rand(1, 1, 128, 128))
    for hook in hooks:
        hook.remove()
    assert seen == [96, 64]


def test_without_a_regional_network_the_embedding_is_that_of_the_whole(recogniser: Recogniser) -> None:
    alone = Recogniser(recogniser.whole, 96).eval()
    images = torch.rand(2, 1, 96, 96)
    with torch.inference_mode():
        assert torch.equal(alone(images).embedding, recogniser.whole(images).embedding)
    assert alone.dim == 16
