from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.data.manifest import ImageRow, Split
from retrieval.errors import ConfigInvalid
from retrieval.losses import IdentityLoss, IdentityOptions
from retrieval.training.build import build_network
from retrieval.training.config import GroupConfig, LossConfig, NetworkConfig, TrainingConfig
from retrieval.training.validation import Validator
from tests.toys import toy_images

NETWORK = NetworkConfig("squeezenet1_1", 16, 32)


def config(**losses: float) -> TrainingConfig:
    groups = (GroupConfig(("toy",), 2), GroupConfig(("lone",), 2))
    return TrainingConfig(
        name="x",
        network=NETWORK,
        groups=groups,
        size=64,
        precision="fp32",
        losses=LossConfig(**losses),  # type: ignore[arg-type]
    )


def row(dataset: str, patient: int) -> ImageRow:
    return ImageRow(Path(), "", dataset, f"{dataset}:{patient}", Split.VAL, "", "PA")


ROWS = [row("toy", i // 2) for i in range(6)] + [row("lone", i) for i in range(2)]
IMAGES = toy_images(4).reshape(8, 96, 96)


def test_figures_are_those_of_the_similarities() -> None:
    """Patients 0 and 1 are recognised; an image of patient 2 looks most like one of patient 0."""
    similarity = np.full((6, 6), 0.1, dtype=np.float32)
    for a, b, value in ((0, 1, 0.9), (2, 3, 0.8), (4, 5, 0.3), (0, 4, 0.5)):
        similarity[a, b] = similarity[b, a] = value
    found = Validator(ROWS, IMAGES, config()).figures_of("toy", similarity, step=7)
    assert (found.step, found.images, found.patients) == (7, 6, 3)
    assert found.auc == pytest.approx(1 - (1 / 12) / 3)
    assert found.tpr_at_fpr_1e2 == pytest.approx(2 / 3)
    assert found.precision_at_1 == pytest.approx(5 / 6)


@pytest.mark.parametrize("losses", [{}, {"identity_weight": 0.0}], ids=["embedding", "code"])
def test_datasets_without_pairs_are_left_out(losses: dict[str, float]) -> None:
    network = build_network(NETWORK).eval()
    found = Validator(ROWS, IMAGES, config(**losses)).measure(network, IdentityLoss(IdentityOptions(), 3, 16), 1)
    assert [one.dataset for one in found] == ["toy", "mean"]
    assert found[0].auc == found[1].auc
    assert 0 <= found[0].auc <= 1


def test_code_is_what_is_measured_where_the_embedding_is_not_trained() -> None:
    network = build_network(NETWORK).eval()
    with torch.no_grad():
        network.hash.weight.zero_()
        network.hash.bias.fill_(1.0)
    loss = IdentityLoss(IdentityOptions(), 3, 16)
    assert Validator(ROWS, IMAGES, config(identity_weight=0.0)).measure(network, loss, 1)[0].auc == 0.5


def test_validation_needs_patients_to_compare() -> None:
    with pytest.raises(ConfigInvalid, match="validate_every = 0"):
        Validator(ROWS[6:], IMAGES[6:], config())
