from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.data.manifest import ImageRow, Split
from retrieval.errors import CheckpointInvalid
from retrieval.training.build import averaged_network, build_network, embed
from retrieval.training.config import GroupConfig, LossConfig, NetworkConfig, TrainingConfig
from retrieval.training.loop import Trainer
from retrieval.training.material import Material

CONFIG = TrainingConfig(
    name="tiny",
    network=NetworkConfig(backbone="mobilenet_v2", embedding_dim=16, bits=32),
    groups=(GroupConfig(("nih",), 4, 1.0),),
    losses=LossConfig(temperature=0.1),
    size=96,
    steps=8,
    warmup=2,
    rate=1e-3,
    average=0.5,
    precision="fp32",
    save_every=2,
)


@pytest.fixture
def material() -> Material:
    rng = np.random.default_rng(0)
    people = rng.integers(0, 256, (4, 8, 8))
    exams = [np.kron(person, np.ones((12, 12))) * scale for person in people for scale in (0.8, 1.0)]
    rows = [ImageRow(Path(), "", "nih", f"nih:{i // 2}", Split.TRAIN, "no_finding", "") for i in range(8)]
    return Material(rows, np.stack(exams).astype(np.uint8), CONFIG)


def trainer(folder: Path, material: Material, config: TrainingConfig = CONFIG) -> Trainer:
    torch.manual_seed(0)
    return Trainer(config, build_network(config.network), material, folder)


def test_losses_fall(tmp_path: Path, material: Material) -> None:
    totals = [costs.total for costs in trainer(tmp_path, material, replace(CONFIG, steps=16)).run()]
    assert np.mean(totals[-3:]) < np.mean(totals[:3])


def test_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path, material: Material) -> None:
    whole = trainer(tmp_path / "whole", material)
    list(whole.run())
    list(trainer(tmp_path / "broken", material).run(steps=4))
    resumed = trainer(tmp_path / "broken", material)
    assert resumed.step == 4
    list(resumed.run())
    for key, value in whole.averaged.state_dict().items():
        assert torch.allclose(value, resumed.averaged.state_dict()[key], atol=1e-5), key


def test_rate_rises_then_falls(tmp_path: Path, material: Material) -> None:
    rates = [costs.rate for costs in trainer(tmp_path, material).run()]
    assert rates[0] == pytest.approx(CONFIG.rate / 2)
    assert max(rates) == pytest.approx(CONFIG.rate)
    assert rates[-1] < 0.2 * CONFIG.rate


def test_learning_curve_has_a_line_a_step(tmp_path: Path, material: Material) -> None:
    trainer(tmp_path, material).run_with_progress()
    lines = (tmp_path / "curve.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("step,total,identity")
    assert [line.split(",")[0] for line in lines[1:]] == [str(step) for step in range(1, 9)]


def test_averaged_weights_are_restored_from_the_checkpoint(tmp_path: Path, material: Material) -> None:
    run = trainer(tmp_path, material)
    list(run.run())
    restored = averaged_network(CONFIG, tmp_path / "checkpoint.safetensors")
    assert torch.equal(restored.identity.weight, run.averaged.get_parameter("identity.weight"))


def test_second_stage_starts_from_the_first_ones_weights(tmp_path: Path, material: Material) -> None:
    first = trainer(tmp_path / "first", material)
    list(first.run())
    start = tmp_path / "first" / "checkpoint.safetensors"
    second = Trainer(CONFIG, build_network(CONFIG.network), material, tmp_path / "second", start)
    assert second.step == 0
    assert torch.equal(second.network.identity.weight, first.network.identity.weight)


def test_checkpoint_of_another_network_is_refused(tmp_path: Path, material: Material) -> None:
    list(trainer(tmp_path, material).run(steps=2))
    with pytest.raises(CheckpointInvalid):
        trainer(tmp_path, material, replace(CONFIG, network=NetworkConfig("mobilenet_v2", 8, 32)))


def test_rivals_are_the_most_similar_patients(material: Material) -> None:
    """Patients 0 and 1, and 2 and 3, are made alike; with one rival each, they always join a batch together."""
    embedding = np.repeat(np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], dtype=np.float32), 2, axis=0)
    rows = [ImageRow(Path(), "", "nih", f"nih:{i // 2}", Split.TRAIN, "", "") for i in range(8)]
    pairs_only = replace(CONFIG, groups=(GroupConfig(("nih",), 2, 1.0),))
    chosen = Material(rows, material.images, pairs_only)
    chosen.seek_rivals(embedding, count=1)
    for step in range(20):
        assert set(chosen.draw(step).patients.tolist()) in ({0, 1}, {2, 3})


def test_embedding_is_of_unit_length(material: Material) -> None:
    network = build_network(CONFIG.network).eval()
    assert np.allclose(np.linalg.norm(embed(network, material.images, 96), axis=1), 1.0, atol=1e-3)
