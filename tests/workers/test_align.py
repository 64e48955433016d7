"""Previews laid over each other, or a plain sentence why not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from archive.files import ImageFiles
from retrieval.phantom import random_exam, random_person, render
from workers.align import align_previews


def keep_preview(files: ImageFiles, number: int, tones: np.ndarray) -> None:
    path = files.preview_path(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tones).save(path, "JPEG", quality=92)


@pytest.fixture(scope="module")
def exams() -> list[np.ndarray]:
    """Two synthetic exams of one person, of different size."""
    rng = np.random.default_rng(11)
    person = random_person(rng)
    return [np.uint8(255 * render(person, random_exam(rng), side)) for side in (288, 320)]


def test_the_result_has_the_size_of_the_first_and_says_how_well_it_fits(
    files: ImageFiles, exams: list[np.ndarray]
) -> None:
    for number, tones in enumerate(exams, start=1):
        keep_preview(files, number, tones)
    for _ in range(2):
        assert align_previews(files, 1, 2) == {"problem": ""}
    with Image.open(files.aligned_path(1, 2)) as found:
        assert (found.size, found.mode) == ((288, 288), "LA")
        assert 0.1 < float(found.info["correlation"]) <= 1
    assert [path.suffix for path in files.preview_path(1).parent.iterdir()].count(".part") == 0


def test_images_that_do_not_fit_leave_a_reason_and_no_file(files: ImageFiles, exams: list[np.ndarray]) -> None:
    keep_preview(files, 1, exams[0])
    keep_preview(files, 2, np.random.default_rng(0).integers(0, 256, (320, 320), dtype=np.uint8))
    keep_preview(files, 3, np.full((320, 320), 90, np.uint8))
    assert "too different" in align_previews(files, 1, 2)["problem"]
    assert "contrast" in align_previews(files, 1, 3)["problem"]
    assert "no preview" in align_previews(files, 1, 4)["problem"]
    assert not any(files.aligned_path(1, number).exists() for number in (2, 3, 4))
