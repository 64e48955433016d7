"""One image: page, preview, thumbnail and attention."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Code, Instance
from archive.states import Role
from config.paths import DataDir
from dashboard import images
from dashboard.attention import overlay
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import SIDE, Case

Trail = Callable[[], list[tuple[str, str, int | None]]]


def test_preview_is_the_file_and_never_kept_by_a_cache(qa: Browser, case: Case, folder: DataDir) -> None:
    with qa.client.get(f"/images/{case.probe}/preview") as answer:
        assert answer.data == ImageFiles(folder).preview_path(case.probe).read_bytes()
        assert answer.mimetype == "image/jpeg"
        assert answer.headers["Cache-Control"] == "private, no-store"
        tag = answer.headers["ETag"]
    with qa.client.get(f"/images/{case.probe}/preview", headers={"If-None-Match": tag}) as again:
        assert again.status_code == 304


def test_each_preview_is_audited(qa: Browser, case: Case, audited: Trail) -> None:
    for _ in range(2):
        qa.client.get(f"/images/{case.probe}/preview").close()
    assert audited().count(("qa", "image viewed", case.probe)) == 2


def test_thumbnail_is_small_and_audited_unless_its_page_was(qa: Browser, case: Case, audited: Trail) -> None:
    answer = qa.client.get(f"/images/{case.stranger}/thumbnail")
    assert max(Image.open(io.BytesIO(answer.data)).size) <= 192 < SIDE
    assert audited().count(("qa", "image listed", case.stranger)) == 1
    qa.client.get("/alerts")
    before = len(audited())
    assert qa.client.get(f"/images/{case.probe}/thumbnail").status_code == 200
    assert len(audited()) == before


def test_attention_is_hot_where_the_encoder_looked(qa: Browser, case: Case, audited: Trail) -> None:
    answer = qa.client.get(f"/images/{case.probe}/attention")
    picture = np.asarray(Image.open(io.BytesIO(answer.data)), dtype=int)
    assert picture.shape == (512, 512, 4)
    opacity = picture[..., 3]
    assert opacity[500, 500] > 140 > 20 > opacity[5, 5]
    assert ("qa", "attention viewed", case.probe) in audited()
    assert qa.client.get(f"/images/{case.rival}/attention").status_code == 404


def test_attention_lies_inside_the_part_that_the_encoder_was_shown(qa: Browser, case: Case, database: Database) -> None:
    with database.write() as session:
        session.get_one(Code, case.probe).box = [0.25, 0.75, 0.125, 1.0]
    answer = qa.client.get(f"/images/{case.probe}/attention")
    opacity = np.asarray(Image.open(io.BytesIO(answer.data)), dtype=int)[..., 3]
    assert opacity[383, 511] > 140 > 20 > opacity[130, 70]
    inside = np.zeros_like(opacity, dtype=bool)
    inside[128:384, 64:512] = True
    assert not opacity[~inside].any()


def test_flat_attention_is_transparent() -> None:
    picture = np.asarray(Image.open(io.BytesIO(overlay(bytes([200] * 64), 8, side=32))))
    assert picture[..., 3].max() == 0


def test_missing_preview_says_so_soon_when_nobody_can_make_it(qa: Browser, case: Case) -> None:
    answer = qa.client.get(f"/images/{case.failed}/preview")
    assert answer.status_code == 503
    with qa.client.get(f"/images/{case.failed}/thumbnail") as thumbnail:
        assert thumbnail.mimetype == "image/svg+xml"
    assert qa.client.get("/images/999/preview").status_code == 404


@pytest.mark.parametrize("righting", ["", "inverted"])
def test_a_preview_that_is_removed_while_it_is_asked_for_is_missing(
    qa: Browser, case: Case, database: Database, folder: DataDir, monkeypatch: pytest.MonkeyPatch, righting: str
) -> None:
    with database.write() as session:
        session.get_one(Instance, case.probe).righting = righting
    before = images.with_preview

    def then_removed(instance_id: int, seconds: float) -> tuple[Instance, Path | None]:
        image, path = before(instance_id, seconds)
        ImageFiles(folder).drop_preview(instance_id)
        return image, path

    monkeypatch.setattr(images, "with_preview", then_removed)
    preview = ImageFiles(folder).preview_path(case.probe)
    content = preview.read_bytes()
    assert qa.client.get(f"/images/{case.probe}/preview").status_code == 503
    preview.write_bytes(content)
    with qa.client.get(f"/images/{case.probe}/thumbnail") as answer:
        assert answer.mimetype == "image/svg+xml"


def test_page_shows_header_verdict_and_other_images(
    signed_in: Callable[[Role], Browser], case: Case, audited: Trail
) -> None:
    page = signed_in(Role.CLINICIAN).client.get(f"/images/{case.probe}").text
    for fact in ("Sokolova, Vera", "MRN-1", "1958-04-12", "2024-03-14", f"/similar/{case.probe}"):
        assert fact in page
    assert f"/images/{case.own_prior}/thumbnail" in page
    assert "/alerts/" not in page
    assert ("clinician", "image listed", case.own_prior) in audited()


def test_an_image_that_was_put_right_says_so_wherever_it_is_judged(qa: Browser, case: Case, database: Database) -> None:
    pages = (f"/images/{case.probe}", f"/alerts/{case.alert}")
    assert not any("Not stored the right way" in qa.client.get(page).text for page in pages)
    with database.write() as session:
        session.get_one(Instance, case.probe).righting = "turned by 180°"
    for page in pages:
        shown = qa.client.get(page).text
        assert "this image was turned by 180° before it was compared" in shown


def test_page_of_a_failed_image_gives_the_reason(qa: Browser, case: Case) -> None:
    page = qa.client.get(f"/images/{case.failed}").text
    assert "pixel data end early" in page
    assert "/similar/" not in page
