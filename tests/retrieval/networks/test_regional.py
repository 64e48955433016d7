from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from retrieval.errors import ConfigInvalid
from retrieval.networks import AttentionHashNetwork, Backbone, Outputs, Recogniser, RegionalNetwork
from retrieval.networks.atlas import Atlas, laid, structure
from retrieval.networks.recogniser import framed
from retrieval.networks.regional import Regional
from retrieval.regional_options import RegionalOptions

OPTIONS = RegionalOptions(backbone="squeezenet1_1", stages=(2, 5), regions=3, dim=24, size=64)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    torch.manual_seed(0)
    whole = AttentionHashNetwork(Backbone("resnet18"), embedding_dim=16, bits=16)
    return Recogniser(whole, 96, RegionalNetwork(OPTIONS)).eval()


def test_embedding_has_the_length_that_was_asked_for() -> None:
    network = RegionalNetwork(OPTIONS).eval()
    embedding = network(torch.rand(2, 1, 64, 64)).embedding
    assert embedding.shape == (2, 24)
    assert torch.allclose(embedding.norm(dim=1), torch.ones(2))


def test_grey_input_is_normalised_as_the_trunk_expects() -> None:
    network = RegionalNetwork(OPTIONS, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0)).eval()
    seen = []
    network.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.full((1, 1, 64, 64), 0.6))
    assert torch.allclose(seen[0][0, :, 0, 0], torch.tensor([1.0, 1.6, 0.3]))


@pytest.mark.parametrize("aligned", [True, False])
def test_with_even_contrast_the_regional_network_is_blind_to_exposure(
    aligned: bool, recogniser: Recogniser, chest_and_moved: torch.Tensor
) -> None:
    image = chest_and_moved[:1]
    pair = torch.cat([image, 0.5 * image + 0.3])
    atlas = Atlas()
    atlas.mean_chest.copy_(structure(image))
    apart = {}
    for contrast in (0.0, 0.05):
        network = RegionalNetwork(replace(OPTIONS, contrast=contrast))
        seen: list[torch.Tensor] = []
        network.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        with torch.inference_mode():
            Recogniser(recogniser.whole, 96, network, atlas if aligned else None).eval()(pair)
        assert seen[0].shape == (2, 1, 64, 64) and seen[0].min() >= 0 and seen[0].max() <= 1
        apart[contrast] = float((seen[0][0] - seen[0][1]).abs().mean() / seen[0][0].std())
    assert apart[0.05] < 0.25 * apart[0.0]


def test_even_contrast_is_not_for_the_whole_network(recogniser: Recogniser, chest_and_moved: torch.Tensor) -> None:
    embeddings = []
    for contrast in (0.0, 0.05):
        regional = RegionalNetwork(replace(OPTIONS, contrast=contrast))
        with torch.inference_mode():
            embeddings.append(Recogniser(recogniser.whole, 96, regional).eval()(chest_and_moved).embedding[:, 24:])
    assert torch.allclose(*embeddings, atol=1e-6)


def test_what_lies_beyond_an_image_is_a_middle_grey_if_contrast_is_even(chest_and_moved: torch.Tensor) -> None:
    far = torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.0]]).expand(2, 5)
    assert (framed(chest_and_moved, far)[..., -10:] == 0).all()
    assert (framed(chest_and_moved, far, 0.05)[..., -10:] == 0.5).all()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("contrast", -0.1),
        ("contrast", 0.25),
        ("stages", ()),
        ("stages", (0, 4)),
        ("stages", (4, 2)),
        ("stages", (4, 4)),
        ("dim", 0),
        ("size", 0),
    ],
)
def test_options_out_of_range_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigInvalid, match=key):
        RegionalOptions(**{key: value})


def test_maps_of_all_stages_asked_for_are_read_out_in_one_pass() -> None:
    """Each region's features are those of the two trunks that end at one of the stages, side by side."""
    torch.manual_seed(0)
    both = RegionalNetwork(OPTIONS).eval()
    images = torch.rand(2, 1, 64, 64)
    single = [RegionalNetwork(replace(OPTIONS, stages=(stage,))).eval() for stage in OPTIONS.stages]
    for network in single:
        network.trunk.load_state_dict(
            {k: v for k, v in both.trunk.state_dict().items() if k in network.trunk.state_dict()}
        )
    with torch.inference_mode():
        expected = torch.cat([network.features(images) for network in single], dim=1)
        assert torch.equal(both.features(images), expected)
    assert both.identity.in_features == expected.shape[1]


def test_the_share_of_a_region_is_what_the_embedding_loses_without_it() -> None:
    torch.manual_seed(0)
    network = RegionalNetwork(OPTIONS).eval()
    network.usual.copy_(torch.rand_like(network.usual))
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        embedding, shares = network(images)
        features = network.features(images)
        whole = network.identity(features - network.usual)
        without = features.view(2, -1, 3, 3).clone()
        without[:, :, 2, 1] = network.usual.view(-1, 3, 3)[:, 2, 1]
        left = network.identity(without.flatten(1) - network.usual)
    lost = ((whole - left) * embedding).sum(dim=1) / whole.norm(dim=1)
    assert torch.allclose(shares[:, 2, 1], lost, atol=1e-5)
    assert torch.allclose(shares.sum(dim=(1, 2)), torch.ones(2), atol=1e-5)


def test_the_attention_is_hottest_where_the_embedding_comes_from(
    recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recogniser.regional is not None
    shares = torch.zeros(2, 3, 3)
    shares[0, 0, 2], shares[0, 1, 1] = 1.5, -0.5
    shares[1, 2, 1] = 1.0
    monkeypatch.setattr(recogniser.regional, "forward", lambda images: Regional(torch.ones(len(images), 24), shares))
    with torch.inference_mode():
        attention = recogniser(torch.rand(2, 1, 96, 96)).attention
    assert attention.amin() == 0.0 and attention.amax(dim=(1, 2)).tolist() == [1.0, 1.0]
    rows, columns = attention.shape[1:]
    assert attention[0, 0, columns - 1] == 1.0 and attention[0, rows // 2, columns // 4] == 0.0
    assert attention[1, rows - 1, columns // 2] == 1.0 and attention[1, 0].amax() == 0.0


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


@pytest.fixture
def chest_and_moved() -> torch.Tensor:
    """An image, and it moved by a seventh of half its side in both directions: (2, 1, 96, 96)."""
    torch.manual_seed(0)
    image = torch.rand(1, 1, 16, 16)
    image = torch.nn.functional.interpolate(image, (96, 96), mode="bicubic").clamp(0, 1)
    return torch.cat([image, laid(image, torch.tensor([[0.0, 0.0, 0.0, 0.15, 0.15]]), "border")])


def middle_of(images: torch.Tensor) -> torch.Tensor:
    side = images.shape[-1]
    return images[..., side // 4 : -side // 4, side // 4 : -side // 4]


@pytest.mark.parametrize("part", ["whole", "regional"])
def test_both_networks_see_a_chest_where_the_mean_chest_lies(
    part: str, recogniser: Recogniser, chest_and_moved: torch.Tensor
) -> None:
    atlas = Atlas()
    atlas.mean_chest.copy_(structure(chest_and_moved[:1]))
    seen: list[torch.Tensor] = []
    with torch.inference_mode():
        for used in (atlas, None):
            whole = Recogniser(recogniser.whole, 96, recogniser.regional, used).eval()
            network = getattr(whole, part)
            hook = network.register_forward_pre_hook(lambda _, inputs: seen.append(middle_of(inputs[0])))
            whole(chest_and_moved)
            hook.remove()
    aligned, plain = (float((first - second).abs().mean()) for first, second in seen)
    assert aligned < 0.5 * plain


def test_the_attention_lies_on_the_image_as_it_was_given(
    recogniser: Recogniser, chest_and_moved: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moved image's attention, moved as the image was, is that of the image; both as fine as the image here."""
    atlas = Atlas()
    atlas.mean_chest.copy_(structure(chest_and_moved[:1]))
    network = Recogniser(recogniser.whole, 96, atlas=atlas).eval()
    plain = recogniser.whole.forward

    def seen_itself(images: torch.Tensor) -> Outputs:
        return plain(images)._replace(attention=images[:, 0])

    monkeypatch.setattr(recogniser.whole, "forward", seen_itself)
    with torch.inference_mode():
        attention = network(chest_and_moved).attention
    assert (middle_of(attention) - middle_of(chest_and_moved[:, 0])).abs().mean() < 0.05
    first, second = middle_of(attention)
    assert (first - second).abs().mean() > 0.1


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
