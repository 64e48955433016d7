"""The pictures of the aligned view, from what the workers leave behind."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Instance
from config.paths import DataDir
from dashboard.aligned import Part, draw, read_aligned
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case
from workers.align import align_previews

Trail = Callable[[], list[tuple[str, str, int | None]]]


def shown(content: bytes) -> np.ndarray:
    """A picture as int (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=int)


@pytest.fixture
def aligned(folder: DataDir, case: Case, database: Database) -> Path:
    """The rival, which shows the same person as the probe, laid over it: the workers' file."""
    files = ImageFiles(folder)
    assert align_previews(database, files, case.probe, case.rival) == {"problem": ""}
    return files.aligned_path(case.probe, case.rival)


def test_both_images_add_up_to_grey_where_they_agree(aligned: Path) -> None:
    found = read_aligned(aligned)
    assert found.correlation > 0.9
    new, other = (shown(draw(found, part)) for part in (Part.NEW, Part.OTHER))
    middle = (new + other)[64:192, 64:192]
    assert middle.mean() > 40
    assert np.abs(middle - middle.mean(axis=2, keepdims=True)).mean() < 6
    assert new[..., 2].sum() > new[..., 0].sum() and other[..., 0].sum() > other[..., 2].sum()


def test_difference_is_black_where_they_agree_and_coloured_where_not(aligned: Path) -> None:
    found = read_aligned(aligned)
    assert shown(draw(found, Part.DIFFERENCE))[64:192, 64:192].mean() < 25
    found.new[100:120, 100:120] = 1.0
    found.new[150:170, 150:170] = 0.0
    colours = shown(draw(found, Part.DIFFERENCE))
    brighter, darker = colours[105:115, 105:115].mean(axis=(0, 1)), colours[155:165, 155:165].mean(axis=(0, 1))
    assert brighter[2] > brighter[0] + 50
    assert darker[0] > darker[2] + 50


def test_pictures_are_there_once_computed_and_audited(qa: Browser, case: Case, aligned: object) -> None:
    address = f"/alerts/{case.alert}/aligned/{case.rival}/"
    answer = qa.client.get(address)
    assert answer.json is not None and answer.json["problem"] == ""
    assert "not evidence" in answer.json["caption"]
    for part, place in answer.json["pictures"].items():
        picture = qa.client.get(place)
        assert (picture.status_code, picture.mimetype) == (200, "image/jpeg"), part
    assert qa.client.get(address + "nonsense").status_code == 404


def test_every_look_is_audited_for_both_patients(qa: Browser, case: Case, aligned: object, audited: Trail) -> None:
    qa.client.get(f"/alerts/{case.alert}/aligned/{case.rival}/new")
    assert {("qa", "alignment viewed", case.probe), ("qa", "alignment viewed", case.rival)} <= set(audited())


def test_only_images_of_the_alert_may_be_laid_over(qa: Browser, case: Case, aligned: object) -> None:
    assert qa.client.get(f"/alerts/{case.alert}/aligned/{case.stranger}/").status_code == 404
    assert qa.client.get(f"/alerts/{case.alert}/aligned/{case.own_prior}/new").status_code == 404
    assert qa.client.get(f"/alerts/9999/aligned/{case.rival}/").status_code == 404


@pytest.mark.parametrize("which", ["probe", "rival"])
@pytest.mark.parametrize("change", ["another preview", "put right", "no preview"])
def test_what_was_made_from_other_pictures_is_not_shown(
    qa: Browser, case: Case, database: Database, folder: DataDir, aligned: Path, change: str, which: str
) -> None:
    address, image = f"/alerts/{case.alert}/aligned/{case.rival}/", getattr(case, which)
    assert qa.client.get(address).get_json()["problem"] == ""
    preview = ImageFiles(folder).preview_path(image)
    if change == "another preview":
        preview.write_bytes(preview.read_bytes() + b"other")
    elif change == "no preview":
        preview.unlink()
    else:
        with database.write() as session:
            session.get_one(Instance, image).righting = "turned by 180°"
    # No workers run here that could make it anew.
    said = "no preview" if change == "no preview" else "cannot be reached"
    assert said in qa.client.get(address).get_json()["problem"]
    assert qa.client.get(f"{address}new").status_code == 404
    assert aligned.exists()


@pytest.mark.parametrize("mode", ["", "LA", "RGB"])
def test_a_file_that_is_not_what_the_workers_leave_is_made_anew(
    qa: Browser, case: Case, aligned: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As an empty one after a power failure, or one of an earlier version."""
    if mode:
        Image.new(mode, (64, 64)).save(aligned)
    else:
        aligned.write_bytes(b"")
    address = f"/alerts/{case.alert}/aligned/{case.rival}/"
    assert "cannot be reached" in qa.client.get(address).get_json()["problem"]
    assert qa.client.get(f"{address}new").status_code == 404
    assert "laid over each other anew" in caplog.text


def test_absent_workers_are_told_in_plain_words(qa: Browser, case: Case) -> None:
    answer = qa.client.get(f"/alerts/{case.alert}/aligned/{case.rival}/")
    assert answer.status_code == 200 and answer.json is not None
    assert "cannot be reached" in answer.json["problem"]
