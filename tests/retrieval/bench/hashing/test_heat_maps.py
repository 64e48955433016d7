from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from retrieval.bench.hashing.heat_maps import HeatMaps, draw_heat_maps, examples
from retrieval.data.manifest import ImageRow, Split
from retrieval.evaluation.cohort import cohorts


def maps(name: str, corner: int) -> HeatMaps:
    weights = np.zeros((2, 3, 3), np.float32)
    weights[:, corner, corner] = -0.9
    return HeatMaps(name, ("mass", "effusion"), np.full((2, 64, 64), 128, np.uint8), weights)


def test_maps_survive_their_file(tmp_path: Path) -> None:
    one = maps("attention", 0)
    one.write(tmp_path / "new" / "one.npz")
    found = HeatMaps.read(tmp_path / "new" / "one.npz")
    assert (found.name, found.titles) == (one.name, one.titles)
    assert np.array_equal(found.images, one.images)
    assert np.array_equal(found.weights, one.weights)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.npz"]


def test_the_picture_is_red_where_the_network_looks_and_blue_elsewhere(tmp_path: Path) -> None:
    picture = cv2.imread(str(draw_heat_maps([maps("one", 0), maps("other", 2)], tmp_path / "maps.png")))
    assert picture is not None
    blue, _, red = (picture[..., channel].astype(int) for channel in range(3))
    reddish, bluish = (red - blue > 60), (blue - red > 60)
    assert reddish.any()
    assert bluish.sum() > reddish.sum()
    height = len(picture)
    assert not reddish[: height // 4].any(), "the images themselves are grey"


def test_examples_show_each_finding_once_and_normal_images_last() -> None:
    words = ["no_finding", "mass", "mass", "effusion|mass", "", "no_finding"]
    rows = [ImageRow(Path(), f"{i}", "one", f"one:{i}", Split.TEST, word, "PA") for i, word in enumerate(words)]
    assert [row.file for row in examples(cohorts(rows))] == ["1", "3", "0"]
