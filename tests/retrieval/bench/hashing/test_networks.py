from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.bench.hashing import networks
from retrieval.bench.hashing.heat_maps import HeatMaps
from retrieval.bench.hashing.networks import TrainedHash
from retrieval.bench.hashing.recipes import LENGTHS, trained_recipes
from retrieval.bench.lessons import Effort, HashEffort, Lessons
from retrieval.bench.training_time import TrainingTime
from retrieval.data.manifest import Split, read_manifest
from retrieval.evaluation.cohort import cohorts
from retrieval.networks import Branches, Descriptor
from retrieval.training.loop import Trainer
from tests.toys import TRAINED, toy_images, toy_manifest

IMAGES = toy_images(3, seed=5).reshape(6, 96, 96)
RECIPES = {recipe.key: recipe for recipe in trained_recipes()}


@pytest.fixture
def lessons(tmp_path: Path) -> Lessons:
    effort = HashEffort(steps=2, size=96, batch=8, images=100, backbone="resnet18")
    siamese = Effort(1, 64, 2)
    return Lessons(
        toy_manifest(tmp_path / "toys"), tmp_path / "cache", (), tmp_path / "runs", {}, siamese, siamese, effort
    )


def test_the_rows_are_those_of_the_paper_s_tables() -> None:
    assert {key for key in RECIPES if not key.startswith("attention-hash")} == {"dsh", "drh", "ath"}
    assert [RECIPES[f"attention-hash-{bits}"].bits for bits in LENGTHS] == [16, 32, 48, 64, 96, 128]
    assert RECIPES["attention-hash-local"].branches is Branches.LOCAL
    assert RECIPES["attention-hash-global"].branches is Branches.GLOBAL
    assert RECIPES["attention-hash-no-descriptors"].descriptors == (Descriptor.POOLED,)
    assert RECIPES["attention-hash-no-max-pool"].descriptors == (Descriptor.MAXIMUM, Descriptor.MEAN)
    assert len({recipe.name for recipe in RECIPES.values()}) == len(RECIPES) == 13


@pytest.mark.parametrize("key", ["dsh", "drh", "ath", "attention-hash-16", "attention-hash-no-descriptors"])
def test_a_hash_network_is_trained_and_gives_codes(key: str, lessons: Lessons) -> None:
    method = TrainedHash(RECIPES[key], lessons)
    codes = method.represent(IMAGES)
    assert codes.shape == (6, RECIPES[key].bits // 8)
    assert method.similarity(codes, codes).max() == 0
    assert method.about.learned == (
        f"2 steps of 8 images at 96 pixels on {2 * TRAINED} chests, resnet18 from random weights"
    )
    assert not list(lessons.folder.iterdir())


def test_a_stopped_run_goes_on_to_the_same_codes(lessons: Lessons, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "WORTH_KEEPING", 1)
    recipe, runs = RECIPES["attention-hash-16"], lessons.folder
    whole = TrainedHash(recipe, replace(lessons, folder=runs / "whole")).real_codes(IMAGES)

    def stop(trainer: Trainer, name: str, folder: Path, limit: TrainingTime) -> bool:
        assert [costs.step for costs in trainer.run(1)] == [1]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(networks, "finish", stop)
        TrainedHash(recipe, lessons)
    (run,) = (folder for folder in runs.iterdir() if folder.name != "whole")
    assert (run / "checkpoint.safetensors").exists()
    kept = shutil.copytree(run, runs / "kept")
    resumed = TrainedHash(recipe, lessons).real_codes(IMAGES)
    assert np.allclose(resumed, whole, atol=1e-6)
    assert not run.exists()
    other = replace(lessons, hashing=replace(lessons.hashing, steps=1))
    shutil.copytree(kept, run)
    assert not np.allclose(TrainedHash(recipe, other).real_codes(IMAGES), whole, atol=1e-6)
    assert run.exists(), "another effort's run was gone on with"


def test_attention_over_compared_images_is_kept_for_the_picture(lessons: Lessons, tmp_path: Path) -> None:
    rows = [row for row in read_manifest(lessons.manifest) if row.split is Split.VAL]
    method = TrainedHash(RECIPES["attention-hash-64"], replace(lessons, heat_maps=tmp_path / "maps"))
    assert method.extras(method.represent(IMAGES), cohorts(rows)) == []
    kept = HeatMaps.read(tmp_path / "maps" / "attention-hash-64.npz")
    assert kept.titles == ("toy: pneumonia", "toy: no_finding")
    assert kept.weights.shape == (2, 3, 3)
    assert np.allclose(kept.weights, method.attention(kept.images))
    assert [key for key, recipe in RECIPES.items() if recipe.pictured] == [
        "attention-hash-64",
        "attention-hash-no-descriptors",
        "attention-hash-no-max-pool",
    ]
