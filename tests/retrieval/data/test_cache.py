from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from retrieval.data.cache import prepared_images, read_gray
from retrieval.data.manifest import ImageRow, Split
from retrieval.errors import ManifestInvalid
from retrieval.preprocess import prepare


def row(path: Path) -> ImageRow:
    return ImageRow(path, path.name, "nih", "nih:1", Split.TRAIN, "", "")


def test_cached_images_are_the_prepared_files_and_are_read_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        cv2.imwrite(str(path), rng.integers(0, 256, (60, 80)).astype(np.uint8))
    expected = np.stack([prepare(read_gray(path)) for path in paths])
    rows = [row(path) for path in paths]
    assert np.array_equal(prepared_images(rows, tmp_path / "cache", quiet=True), expected)
    paths[0].unlink()
    assert np.array_equal(prepared_images(rows, tmp_path / "cache", quiet=True), expected)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match=r"gone\.jpg"):
        prepared_images([row(tmp_path / "gone.jpg")], tmp_path / "cache", quiet=True)
