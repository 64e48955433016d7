from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.data.manifest import ImageRow, Split
from retrieval.errors import CheckpointInvalid, ConfigInvalid, TrainingDiverged
from retrieval.losses import LossName
from retrieval.training.build import averaged_network, build_network, embed
from retrieval.training.config import GroupConfig, LossConfig, NetworkConfig, Optimiser, TrainingConfig
from retrieval.training.loop import Trainer
from retrieval.training.material import Material
from retrieval.training.validation import Validator
from tests.toys import toy_images

CONFIG = TrainingConfig(
    name="tiny",
    network=NetworkConfig(backbone="squeezenet1_1", embedding_dim=16, bits=32),
    groups=(GroupConfig(("toy",), 4, 1.0),),
    size=64,
    steps=6,
    warmup=1,
    rate=1e-3,
    average=0.5,
    precision="fp32",  # type: ignore[arg-type]
    device="cpu",
    threads=1,
    save_every=2,
    validate_every=0,
)


def rows(split: Split = Split.TRAIN) -> list[ImageRow]:
    return [ImageRow(Path(), f"{i}", "toy", f"toy:{i // 2}", split, "no_finding", "PA") for i in range(16)]


IMAGES = toy_images(8).reshape(16, 96, 96)


def trainer(
    folder: Path, config: TrainingConfig = CONFIG, start: Path | None = None, validator: Validator | None = None
) -> Trainer:
    torch.manual_seed(0)
    network = build_network(config.network)
    return Trainer(config, network, Material(rows(), IMAGES, config), folder, start, validator)


def same_weights(one: Trainer, other: Trainer) -> bool:
    theirs = other.averaged.state_dict()
    return all(torch.equal(value, theirs[key]) for key, value in one.averaged.state_dict().items())


def test_losses_fall(tmp_path: Path) -> None:
    totals = [costs.total for costs in trainer(tmp_path, replace(CONFIG, steps=16)).run()]
    assert np.mean(totals[-3:]) < np.mean(totals[:3])


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, rounds=1, losses=LossConfig(LossName.MULTI_SIMILARITY, memory=12)),
        replace(CONFIG, optimiser=Optimiser.SGD, losses=LossConfig(LossName.ARCFACE)),
        replace(CONFIG, losses=LossConfig(LossName.VERIFICATION)),
    ],
    ids=["supcon", "memory and rounds", "classes and SGD", "verification head"],
)
def test_interrupted_run_ends_with_exactly_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, config: TrainingConfig
) -> None:
    whole = trainer(tmp_path / "whole", config)
    list(whole.run())
    first = trainer(tmp_path / "broken", config)
    list(first.run(steps=4))
    resumed = trainer(tmp_path / "broken", config)
    assert resumed.step == 4
    list(resumed.run())
    assert same_weights(whole, resumed)
    both = zip(whole.curve.costs, resumed.curve.costs, strict=True)
    assert all((a.step, a.total, a.rate) == (b.step, b.total, b.rate) for a, b in both)


def test_second_stage_starts_from_the_first_ones_weights(tmp_path: Path) -> None:
    first = trainer(tmp_path / "first")
    list(first.run(steps=2))
    second = trainer(tmp_path / "second", start=first.checkpoint)
    assert second.step == 0
    assert torch.equal(second.network.identity.weight, first.network.identity.weight)


def test_averaged_weights_are_restored_from_the_checkpoint(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    list(run.run(steps=2))
    restored = averaged_network(CONFIG, run.checkpoint)
    assert torch.equal(restored.identity.weight, run.averaged.identity.weight)


def test_checkpoint_of_another_network_or_loss_is_refused(tmp_path: Path) -> None:
    list(trainer(tmp_path).run(steps=2))
    with pytest.raises(CheckpointInvalid):
        trainer(tmp_path, replace(CONFIG, network=NetworkConfig("squeezenet1_1", 8, 32)))
    with pytest.raises(CheckpointInvalid):
        trainer(tmp_path, replace(CONFIG, losses=LossConfig(LossName.ARCFACE)))


def test_learning_curves_have_a_line_a_step_and_a_picture(tmp_path: Path) -> None:
    config = replace(CONFIG, validate_every=4)
    list(trainer(tmp_path, config, validator=Validator(rows(Split.VAL), IMAGES, config)).run())
    lines = (tmp_path / "curve.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("step,total,identity")
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4", "5", "6"]
    validated = (tmp_path / "validation.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[:2] for line in validated] == [["4", "toy"], ["4", "mean"], ["6", "toy"], ["6", "mean"]]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_best_validated_weights_are_kept(tmp_path: Path) -> None:
    config = replace(CONFIG, validate_every=1, steps=3)
    run = trainer(tmp_path, config, validator=Validator(rows(Split.VAL), IMAGES, config))
    list(run.run())
    best = max(run.curve.means(), key=lambda row: row.auc)
    embedding = embed(averaged_network(config, run.best), IMAGES, config.size, half=False)
    again = Validator(rows(Split.VAL), IMAGES, config)
    matrix = embedding @ embedding.T
    assert again.figures_of("toy", matrix, best.step).auc == pytest.approx(best.auc, abs=1e-9)


def test_rounds_batch_rivals_together_from_their_step_on(tmp_path: Path) -> None:
    run = trainer(tmp_path, replace(CONFIG, rounds=2, rivals=3))
    list(run.run(steps=2))
    assert not list(tmp_path.glob("rivals-*"))
    list(run.run())
    for number in (1, 2):
        (rivals,) = json.loads((tmp_path / f"rivals-{number}.json").read_text())
        assert all(len(found) == 3 and person not in found for person, found in enumerate(rivals))


def test_hard_negatives_need_a_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="start"):
        trainer(tmp_path, replace(CONFIG, hard_negatives=True))


def test_diverged_run_stops_and_says_at_which_step(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    list(run.run(steps=2))
    before = run.checkpoint.read_bytes()
    with torch.no_grad():
        run.network.identity.weight.fill_(math.nan)
    with pytest.raises(TrainingDiverged, match=r"at step 3 is nan.*Lower rate"):
        list(run.run())
    assert run.checkpoint.read_bytes() == before


def test_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="cuda:99"):
        trainer(tmp_path, replace(CONFIG, device="cuda:99"))


def test_embedding_is_of_unit_length() -> None:
    network = build_network(CONFIG.network).eval()
    assert np.allclose(np.linalg.norm(embed(network, IMAGES, 64), axis=1), 1.0, atol=1e-3)
