from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from retrieval.bench.hashing.labels import labels_of
from retrieval.bench.hashing.material import FindingsMaterial
from retrieval.data.manifest import ImageRow, Split
from retrieval.training.config import GroupConfig, NetworkConfig, TrainingConfig

ROWS = [
    ImageRow(Path(), f"{i}", dataset, f"{dataset}:{i // 2}", Split.TRAIN, "mass" if i % 4 < 2 else "effusion", "PA")
    for dataset, count in (("large", 200), ("small", 20))
    for i in range(count)
]
IMAGES = np.arange(len(ROWS), dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
CONFIG = TrainingConfig("toy", NetworkConfig("squeezenet1_1"), (GroupConfig(("large", "small"), 8),))


def material() -> FindingsMaterial:
    return FindingsMaterial(ROWS, IMAGES, CONFIG, labels_of(ROWS))


def test_a_batch_has_no_second_image_of_a_patient_and_datasets_count_alike() -> None:
    batches = [material().draw(step) for step in range(40)]
    small = [int((batch.patients >= 100).sum()) for batch in batches]
    assert all(len(batch.patients.unique()) == len(batch.patients) for batch in batches)
    assert 6 < np.mean(small) < 10
    assert {len(batch.images) for batch in batches} <= {14, 15, 16}


def test_labels_are_those_of_the_images() -> None:
    batch = material().draw(3)
    numbers = batch.images[:, 0, 0].numpy()
    assert torch.equal(batch.findings, torch.from_numpy(labels_of(ROWS).table[numbers]))


def test_a_step_always_gives_the_same_batch_and_steps_differ() -> None:
    one, other = material().draw(7), material().draw(7)
    assert torch.equal(one.images, other.images)
    assert not torch.equal(one.patients, material().draw(8).patients)
