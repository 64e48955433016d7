"""Images that are stored turned or inverted are shown the way they were compared."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Instance
from config.paths import DataDir
from dashboard.upright import put_right, turn
from retrieval.upright import RIGHTINGS, Righting
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import SIDE, Case
from workers.align import align_previews

STORED = np.arange(15, dtype=np.uint8).reshape(3, 5)


@pytest.mark.parametrize("righting", RIGHTINGS, ids=str)
def test_words_mean_what_was_done(righting: Righting) -> None:
    assert np.array_equal(put_right(Image.fromarray(STORED), str(righting)), righting.of(STORED))
    assert np.array_equal(turn(Image.fromarray(STORED), str(righting)), np.rot90(STORED, righting.quarter_turns))


def test_an_image_that_was_compared_as_it_is_is_shown_as_it_is() -> None:
    assert np.array_equal(put_right(Image.fromarray(STORED), ""), STORED)


@pytest.fixture
def stored_wrong(case: Case, database: Database, folder: DataDir) -> np.ndarray:
    """The probe is stored on its side and inverted, taller than wide; what it was when it was compared."""
    done = Righting(1, True)
    path = ImageFiles(folder).preview_path(case.probe)
    with Image.open(path) as picture:
        upright = np.asarray(picture.convert("L").resize((SIDE, SIDE * 5 // 4)))
    # What `of` makes upright again.
    Image.fromarray(np.rot90(255 - upright, -1)).save(path, "JPEG", quality=98)
    with database.write() as session:
        session.get_one(Instance, case.probe).righting = str(done)
    return upright


@pytest.mark.parametrize("size", ["preview", "thumbnail"])
def test_pictures_of_all_sizes_are_upright(qa: Browser, case: Case, stored_wrong: np.ndarray, size: str) -> None:
    answer = qa.client.get(f"/images/{case.probe}/{size}")
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    with Image.open(io.BytesIO(answer.data)) as picture:
        shown = np.asarray(picture, dtype=float)
    assert shown.shape[0] / shown.shape[1] == pytest.approx(1.25, abs=0.01)
    expected = np.asarray(Image.fromarray(stored_wrong).resize(shown.shape[::-1]), dtype=float)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.98


def test_attention_turns_with_its_image_and_keeps_its_colours(qa: Browser, case: Case, database: Database) -> None:
    address = f"/images/{case.probe}/attention"
    stored = np.asarray(Image.open(io.BytesIO(qa.client.get(address).data)))
    with database.write() as session:
        session.get_one(Instance, case.probe).righting = "turned by 90° to the right and inverted"
    shown = np.asarray(Image.open(io.BytesIO(qa.client.get(address).data)))
    assert np.array_equal(shown, np.rot90(stored, -1)) and not np.array_equal(shown, stored)


def test_it_is_laid_over_an_upright_image_of_its_person(
    qa: Browser, case: Case, database: Database, folder: DataDir, stored_wrong: np.ndarray
) -> None:
    assert align_previews(database, ImageFiles(folder), case.probe, case.rival) == {"problem": ""}
    answer = qa.client.get(f"/alerts/{case.alert}/aligned/{case.rival}/")
    assert answer.json is not None and answer.json["problem"] == ""
    new, other = (
        np.asarray(Image.open(io.BytesIO(qa.client.get(answer.json["pictures"][part]).data)).convert("L"), dtype=float)
        for part in ("new", "other")
    )
    assert new.shape == stored_wrong.shape
    inside = np.s_[40:-40, 32:-32]
    assert np.corrcoef(new[inside].ravel(), stored_wrong[inside].ravel())[0, 1] > 0.98
    assert np.corrcoef(new[inside].ravel(), other[inside].ravel())[0, 1] > 0.9
