from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from retrieval.data.manifest import ImageRow, Split
from retrieval.errors import ConfigInvalid, WeightsNotUsable
from retrieval.networks import AttentionHashNetwork, Backbone
from retrieval.training.config import RegionalConfig
from retrieval.training.kinds import kind_of
from retrieval.training.regional import fit_regional

CONFIG = RegionalConfig(backbone="mobilenet_v2", stages=(2, 4), regions=3, dim=16, size=64, single=2)
PEOPLE, EXAMS = 12, 3


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("trunk") / "mobilenet_v2.safetensors"
    save_file(models.mobilenet_v2(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def trained() -> AttentionHashNetwork:
    torch.manual_seed(1)
    return AttentionHashNetwork(Backbone("mobilenet_v2"), embedding_dim=16, bits=16).eval()


def row(patient: int, age: float | None = None, dataset: str = "toy") -> ImageRow:
    return ImageRow(Path(), "", dataset, f"{dataset}:{patient}", Split.TRAIN, "", "", age=age)


def exams(seed: int) -> tuple[list[ImageRow], np.ndarray]:
    """Each person has bright bars of their own; the rest changes with every exam."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (PEOPLE * EXAMS, 64, 64)).astype(np.uint8)
    for person in range(PEOPLE):
        at = rng.integers(0, 56, 3)
        for y in at:
            images[person * EXAMS : (person + 1) * EXAMS, y : y + 6] += 100
    return [row(i // EXAMS) for i in range(len(images))], images


def test_people_not_learned_from_are_told_apart(trunk: Path, trained: AttentionHashNetwork) -> None:
    network = fit_regional(CONFIG, trained, trunk, *exams(0), seed=1)
    rows, images = exams(7)
    with torch.inference_mode():
        embedding = network(torch.from_numpy(images).unsqueeze(1).float() / 255).embedding.numpy()
    similarity = embedding @ embedding.T
    np.fill_diagonal(similarity, -2)
    number = np.arange(len(rows)) // EXAMS
    assert np.mean(number[similarity.argmax(axis=1)] == number) > 0.6
    assert not network.training


def test_the_same_seed_gives_the_same_network(trunk: Path, trained: AttentionHashNetwork) -> None:
    first, second = (fit_regional(CONFIG, trained, trunk, *exams(0), seed=3) for _ in range(2))
    assert torch.equal(first.identity.weight, second.identity.weight)


def test_the_trunk_takes_its_share_of_the_trained_backbone(trunk: Path, trained: AttentionHashNetwork) -> None:
    shares = (0.0, 0.25, 1.0)
    weights = [
        fit_regional(RegionalConfig(**{**vars(CONFIG), "trained_share": share}), trained, trunk, *exams(0), seed=1)
        .trunk[0][0]
        .weight
        for share in shares
    ]
    assert torch.allclose(weights[1], 0.75 * weights[0] + 0.25 * weights[2], atol=1e-6)
    assert torch.equal(weights[2], trained.backbone.shallow[0][0].weight)


def test_a_trunk_of_another_kind_cannot_be_mixed(trunk: Path) -> None:
    other = AttentionHashNetwork(Backbone("resnet18"), embedding_dim=16, bits=16)
    config = RegionalConfig(**{**vars(CONFIG), "trained_share": 0.5})
    with pytest.raises(ConfigInvalid, match="backbone of the trained one"):
        fit_regional(config, other, trunk, *exams(0), seed=1)


def test_a_file_that_does_not_fit_is_named(tmp_path: Path, trained: AttentionHashNetwork) -> None:
    path = tmp_path / "other.safetensors"
    save_file(models.squeezenet1_1(weights=None).state_dict(), path)
    with pytest.raises(WeightsNotUsable, match=r"other\.safetensors"):
        fit_regional(CONFIG, trained, path, *exams(0), seed=1)


@pytest.mark.parametrize("values", [{"trained_share": 1.5}, {"single": -1}])
def test_impossible_options_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigInvalid, match=next(iter(values))):
        RegionalConfig(**values)


def test_kinds_follow_the_age_and_else_the_data_set() -> None:
    rows = [row(0), row(1, age=4), row(2, age=40), row(3, dataset="kermany"), row(4, age=30, dataset="kermany")]
    assert [kind_of(one) for one in rows] == ["adults", "children", "adults", "children", "adults"]
