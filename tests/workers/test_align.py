"""Previews laid over each other, or a plain sentence why not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Instance
from archive.overlays import MADE_FROM, made_from
from retrieval.alignment import Alignment, align
from retrieval.phantom import random_exam, random_person, render
from retrieval.upright import RIGHTINGS, Righting
from tests.filed import file_image
from workers.align import align_previews


def keep_preview(database: Database, files: ImageFiles, tones: np.ndarray, done: str = "") -> int:
    """The id of an image with this preview, to which something was `done` before it was compared."""
    with database.write() as session:
        image = file_image(session, "P1")
        image.righting, number = done, image.id
    path = files.preview_path(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tones).save(path, "JPEG", quality=92)
    return number


@pytest.fixture(scope="module")
def exams() -> list[np.ndarray]:
    """Two synthetic exams of one person, of different size."""
    rng = np.random.default_rng(11)
    person = random_person(rng)
    return [np.uint8(255 * render(person, random_exam(rng), side)) for side in (288, 320)]


def test_the_result_has_the_size_of_the_first_and_says_how_well_it_fits(
    database: Database, files: ImageFiles, exams: list[np.ndarray]
) -> None:
    first, second = (keep_preview(database, files, tones) for tones in exams)
    for _ in range(2):
        assert align_previews(database, files, first, second) == {"problem": ""}
    with Image.open(files.aligned_path(first, second)) as found:
        assert (found.size, found.mode) == ((288, 288), "RGB")
        assert 0.1 < float(found.info["correlation"]) <= 1
    assert [path.suffix for path in files.preview_path(first).parent.iterdir()].count(".part") == 0


@pytest.mark.parametrize("righting", RIGHTINGS, ids=str)
def test_an_image_that_is_stored_the_wrong_way_is_put_right_before(
    database: Database, files: ImageFiles, exams: list[np.ndarray], righting: Righting
) -> None:
    tones = 255 - exams[1] if righting.inverted else exams[1]
    first = keep_preview(database, files, exams[0])
    wrong = keep_preview(database, files, np.rot90(tones, -righting.quarter_turns), str(righting))
    right = keep_preview(database, files, exams[1])
    for number in (right, wrong):
        assert align_previews(database, files, first, number) == {"problem": ""}
    shown, expected = (np.asarray(Image.open(files.aligned_path(first, one)), dtype=int) for one in (wrong, right))
    assert np.abs(shown[..., 1] - expected[..., 1]).mean() < 3


def test_nothing_stays_of_an_image_that_is_purged_meanwhile(
    database: Database, files: ImageFiles, exams: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (keep_preview(database, files, tones) for tones in exams)

    def purge(below: np.ndarray, above: np.ndarray) -> Alignment:
        with database.write() as session:
            session.delete(session.get_one(Instance, second))
        files.remove_previews([second])
        return align(below, above)

    monkeypatch.setattr("workers.align.align", purge)
    assert "no preview" in align_previews(database, files, first, second)["problem"]
    assert not files.aligned_path(first, second).exists()


def test_a_preview_that_is_replaced_meanwhile_makes_it_out_of_date(
    database: Database, files: ImageFiles, exams: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (keep_preview(database, files, tones) for tones in exams)

    def replace(below: np.ndarray, above: np.ndarray) -> Alignment:
        Image.fromarray(exams[1][::-1]).save(files.preview_path(second), "JPEG")
        return align(below, above)

    monkeypatch.setattr("workers.align.align", replace)
    assert align_previews(database, files, first, second) == {"problem": ""}
    with database.read() as session:
        present = made_from(files, session.get_one(Instance, first), session.get_one(Instance, second))
    with Image.open(files.aligned_path(first, second)) as found:
        assert found.info[MADE_FROM].split(", ")[0] == present.split(", ")[0]
        assert found.info[MADE_FROM] != present


def test_a_full_disk_is_told_to_people_and_logged(
    database: Database,
    files: ImageFiles,
    exams: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = (keep_preview(database, files, tones) for tones in exams)

    def full(_: Image.Image, path: Path, *args: object, **options: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    assert "look at the disk" in align_previews(database, files, first, second)["problem"]
    assert "No space left" in caplog.text
    assert not any(files.preview_path(first).parent.glob(f"{first}-*"))


def test_images_that_do_not_fit_leave_a_reason_and_no_file(
    database: Database, files: ImageFiles, exams: list[np.ndarray]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (320, 320), dtype=np.uint8)
    first, *others = (
        keep_preview(database, files, one) for one in (exams[0], noise, np.full((320, 320), 90, np.uint8))
    )
    problems = [align_previews(database, files, first, other)["problem"] for other in (*others, 99)]
    for problem, said in zip(problems, ("too different", "contrast", "no preview"), strict=True):
        assert said in problem
    assert not any(files.aligned_path(first, other).exists() for other in (*others, 99))
