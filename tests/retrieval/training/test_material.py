from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.data.manifest import ImageRow, Split
from retrieval.data.pair_list import PairList, write_pairs
from retrieval.errors import ConfigInvalid
from retrieval.losses import LossName
from retrieval.training.config import GroupConfig, LossConfig, NetworkConfig, TrainingConfig
from retrieval.training.material import Material, frontal_rows, load_material
from retrieval.training.run import Sources

CONFIG = TrainingConfig(name="x", network=NetworkConfig(bits=16), groups=(GroupConfig(("toy",), 2, 1.0),))
ROWS = [ImageRow(Path(), f"{i}.png", "toy", f"toy:{i // 2}", Split.TRAIN, "", "PA") for i in range(8)]
# The picture of image i holds the number i.
IMAGES = np.arange(8, dtype=np.uint8)[:, None, None].repeat(4, axis=1).repeat(4, axis=2)


def test_rivals_are_the_most_similar_patients() -> None:
    """Patients 0 and 1, and 2 and 3, are made alike; with one rival each, they always join a batch together."""
    embedding = np.repeat(np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], dtype=np.float32), 2, axis=0)
    material = Material(ROWS, IMAGES, CONFIG)
    found = material.seek_rivals(embedding / np.linalg.norm(embedding, axis=1, keepdims=True), count=1)
    assert found == (((1,), (0,), (3,), (2,)),)
    for step in range(20):
        assert set(material.draw(step).patients.tolist()) in ({0, 1}, {2, 3})


def test_same_step_gives_the_same_batch() -> None:
    one, other = (Material(ROWS, IMAGES, CONFIG).draw(7) for _ in range(2))
    assert np.array_equal(one.images, other.images)


def test_pair_list_is_used_up_once_an_epoch_in_another_order(tmp_path: Path) -> None:
    pairs = PairList(
        np.array([0, 0, 2, 2]), np.array([1, 5, 3, 7]), np.array([True, False] * 2), np.array([False, True] * 2)
    )
    write_pairs(tmp_path / "pairs.csv", ROWS, pairs)
    config = replace(CONFIG, pairs=str(tmp_path / "pairs.csv"), losses=LossConfig(LossName.CONTRASTIVE))
    material = Material(ROWS, IMAGES, config)
    expected = sorted(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), strict=True))
    orders = []
    for epoch in range(6):
        drawn = []
        for batch in (material.draw(2 * epoch), material.draw(2 * epoch + 1)):
            assert batch.pairs is not None
            first, second = (batch.images[side][:, 0, 0].tolist() for side in (batch.pairs.first, batch.pairs.second))
            drawn += list(zip(first, second, batch.pairs.same.tolist(), strict=True))
        assert sorted(drawn) == expected
        orders.append(drawn)
    assert any(order != orders[0] for order in orders)


def test_dataset_without_training_images_is_named(sources: Sources) -> None:
    config = replace(CONFIG, groups=(GroupConfig(("toy",), 2), GroupConfig(("nih",), 2)))
    with pytest.raises(ConfigInvalid, match=r"no training images of nih.*it has some of toy"):
        load_material(sources.manifest, sources.cache, config)


def test_patients_whose_numbers_cannot_be_trusted_are_not_learned_from(tmp_path: Path) -> None:
    """A copy of a patient is left out although the set that the patient is in is not learned from."""
    listed = ["kermany:IM-0001", "kermany:IM-0001", "kermany:IM-0002", "covid:30", "covid:31", "covid:32"]
    rows = [f"{i}.png,{name.partition(':')[0]},{name},train,,PA" for i, name in enumerate(listed)]
    rows[4] = rows[4].replace(",covid,", ",other,")
    (tmp_path / "manifest.csv").write_text("\n".join(["file,dataset,patient,split,finding,view", *rows]) + "\n")
    config = replace(CONFIG, groups=(GroupConfig(("kermany",), 2), GroupConfig(("covid",), 2)))
    found = frontal_rows(tmp_path / "manifest.csv", config, Split.TRAIN)
    assert [row.patient for row in found] == ["kermany:IM-0002", "covid:32"]
