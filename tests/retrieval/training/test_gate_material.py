from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from retrieval.data.manifest import ImageRow, Split
from retrieval.data.phantoms import phantom_images
from retrieval.gate import Seen
from retrieval.training import gate_material


@pytest.fixture
def rows(tmp_path: Path) -> list[ImageRow]:
    """Eight images of one dataset and three of another."""
    made = []
    for number, image in enumerate(phantom_images(11, 1, seed=3)[:, 0]):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), image)
        dataset = "large" if number < 8 else "small"
        made.append(ImageRow(path, path.name, dataset, f"p{number}", Split.TRAIN, "normal", "PA"))
    return made


def test_material_has_every_kind_and_is_the_same_again(
    rows: list[ImageRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_MOST_OF_A_DATASET", 5), ("_PHANTOMS", 2), ("_LATERALS", 2), ("_EACH_PART", 1)):
        monkeypatch.setattr(gate_material, name, value)
    material, again = (gate_material.gate_material(rows, rows[:4], tmp_path, seed=1) for _ in range(2))
    assert Counter(material.frontal_kinds) == {"large": 10, "small": 6, "phantom": 4}
    assert Counter(material.held_out_kinds) == {"large": 4, "phantom": 2}
    assert set(material.wrong_kinds) == set(Seen) - {Seen.CHEST}
    assert len(material.frontal) == len(material.frontal_kinds) and len(material.wrong) == len(material.wrong_kinds)
    assert np.array_equal(material.wrong, again.wrong) and np.array_equal(material.frontal, again.frontal)
