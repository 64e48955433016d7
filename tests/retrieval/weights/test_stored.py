from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from retrieval.errors import WeightsNotUsable
from retrieval.gate import Gate, Seen
from retrieval.networks import Recogniser, RegionalNetwork
from retrieval.networks.atlas import Atlas, laid, structure
from retrieval.networks.verification import VerificationHead
from retrieval.regional_options import RegionalOptions
from retrieval.training.build import build_network
from retrieval.training.config import NetworkConfig
from retrieval.weights import load_weights, store_weights, stored_atlas, stored_trunk

CARD = """name = "tiny"
[network]
backbone = "mobilenet_v2"
embedding_dim = 16
bits = 32
findings = ["pneumonia", "bacterial", "viral", "covid19"]
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
input_size = 96
"""


def gate() -> Gate:
    return Gate(*(torch.ones(len(Seen)) for _ in Gate.__dataclass_fields__))


def untrained(regional: RegionalOptions | None = None, atlas: Atlas | None = None) -> Recogniser:
    whole = build_network(NetworkConfig(embedding_dim=16, bits=32))
    return Recogniser(whole, 96, None if regional is None else RegionalNetwork(regional), atlas)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    store_weights(path, untrained(), gate())
    path.with_suffix(".toml").write_text(CARD, encoding="utf-8")
    return path


def test_loaded_network_is_the_stored_one_to_half_precision(tmp_path: Path) -> None:
    network = untrained().eval()
    path = tmp_path / "tiny.safetensors"
    store_weights(path, network, gate())
    path.with_suffix(".toml").write_text(CARD, encoding="utf-8")
    loaded = load_weights(path)
    image = torch.rand(2, 1, 96, 96)
    assert torch.allclose(loaded.network(image).embedding, network(image).embedding, atol=1e-2)
    assert not loaded.network.training


def test_a_regional_network_is_kept_beside_it(tmp_path: Path) -> None:
    options = RegionalOptions(stages=(2, 4), regions=2, dim=8, size=64)
    network = untrained(options).eval()
    path = tmp_path / "tiny.safetensors"
    store_weights(path, network, gate())
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in asdict(options).items())
    path.with_suffix(".toml").write_text(f"{CARD}[regional]\n{table}", encoding="utf-8")
    loaded = load_weights(path)
    assert (loaded.card.regional, loaded.card.dim, loaded.network.dim) == (options, 24, 24)
    image = torch.rand(2, 1, 96, 96)
    assert torch.allclose(loaded.network(image).embedding, network(image).embedding, atol=1e-2)
    assert network.regional is not None
    assert stored_trunk(path).keys() == network.regional.trunk.state_dict().keys()


def test_a_file_without_a_regional_network_has_no_trunk(stored: Path) -> None:
    assert stored_trunk(stored) == {}
    with pytest.raises(WeightsNotUsable, match="cannot be read"):
        stored_trunk(stored.with_name("nothing.safetensors"))


def test_the_mean_chest_is_kept_and_images_are_laid_onto_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    chest = torch.nn.functional.interpolate(torch.rand(1, 1, 16, 16), (96, 96), mode="bicubic").clamp(0, 1)
    atlas = Atlas()
    atlas.mean_chest.copy_(structure(chest))
    path = tmp_path / "tiny.safetensors"
    network = untrained(atlas=atlas).eval()
    store_weights(path, network, gate())
    path.with_suffix(".toml").write_text(f"{CARD}aligned = true\n", encoding="utf-8")
    loaded = load_weights(path)
    found = stored_atlas(path)
    assert loaded.card.aligned and found is not None and loaded.network.atlas is not None
    assert torch.equal(found.mean_chest, loaded.network.atlas.mean_chest)
    assert torch.allclose(found.mean_chest, atlas.mean_chest, atol=1e-2)
    moved = laid(chest, torch.tensor([[0.05, 0.05, 0.0, 0.1, -0.1]]))
    with torch.inference_mode():
        assert torch.allclose(loaded.network(moved).embedding, network(moved).embedding, atol=2e-2)


def test_weights_of_an_earlier_version_say_so(stored: Path) -> None:
    stored.with_suffix(".toml").write_text(f"{CARD}[regional]\nstages = 14\naligned = true\n", encoding="utf-8")
    with pytest.raises(WeightsNotUsable, match="earlier version"):
        load_weights(stored)


def test_a_broken_mean_chest_is_refused(stored: Path) -> None:
    assert stored_atlas(stored) is None
    stored.with_suffix(".toml").write_text(f"{CARD}aligned = true\n", encoding="utf-8")
    with pytest.raises(WeightsNotUsable, match="does not fit its card"):
        load_weights(stored)
    save_file({"atlas.mean_chest": torch.zeros(1, 1, 8, 8)}, stored)
    with pytest.raises(WeightsNotUsable, match="mean chest"):
        stored_atlas(stored)


def test_verification_head_is_kept_whole_and_may_be_absent(stored: Path) -> None:
    assert load_weights(stored).verification is None
    head = VerificationHead(16, hidden=4)
    store_weights(stored, untrained(), gate(), head)
    verifier = load_weights(stored).verification
    assert verifier is not None
    assert np.array_equal(verifier.layers[1][0], head.layers[1].weight.detach().numpy())


def test_identity_of_the_file_changes_with_its_content(stored: Path) -> None:
    before = load_weights(stored).model_id
    store_weights(stored, untrained(), gate())
    assert load_weights(stored).model_id != before


def test_weights_without_a_card_are_refused(stored: Path) -> None:
    stored.with_suffix(".toml").unlink()
    with pytest.raises(WeightsNotUsable, match="no card"):
        load_weights(stored)


def test_card_of_another_network_is_refused(stored: Path) -> None:
    stored.with_suffix(".toml").write_text(CARD.replace("bits = 32", "bits = 64"), encoding="utf-8")
    with pytest.raises(WeightsNotUsable, match="does not fit"):
        load_weights(stored)


@pytest.mark.parametrize("content", [b"", b"not tensors at all", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_damaged_file_is_refused(stored: Path, content: bytes) -> None:
    stored.write_bytes(content)
    with pytest.raises(WeightsNotUsable):
        load_weights(stored)


def test_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(WeightsNotUsable, match="lungprint_mobilenet_v2"):
        load_weights("no_such_network")
