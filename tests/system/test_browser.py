"""The dashboard in a real browser: QA staff find a misfiled image, look at it and decide by keyboard."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from sqlalchemy import select

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Disposition, Instance
from archive.states import AlertState
from config.paths import DataDir
from config.settings import Settings
from tests.archive.filing import PASSWORD
from tests.dashboard.misfiling import SIDE, Case, draw_previews, file_case
from tests.ports import free_port
from tests.workers.test_app import worker
from workers.readiness import accepts

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
VIEW = {"width": 1440, "height": 900}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")


@pytest.fixture
def case(database: Database, folder: DataDir) -> Case:
    """A misfiled image in the data folder of the dashboard."""
    return file_case(database, folder, draw_previews())


@pytest.fixture
def site(case: Case, folder: DataDir, queue_server: None) -> Iterator[str]:
    """The address of a dashboard that runs as a process of its own."""
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LUNGPRINT_")}
    environ |= {"LUNGPRINT_DATA_DIR": str(folder.root), "LUNGPRINT_WEB_PORT": str(port)}
    with subprocess.Popen([sys.executable, "-m", "dashboard"], env=environ) as process:
        while not accepts("127.0.0.1", port):
            assert process.poll() is None, "the dashboard does not start"
        yield f"http://127.0.0.1:{port}"
        process.terminate()
    assert process.returncode == 0


@pytest.fixture
def page(site: str) -> Iterator[Page]:
    """A page of a fresh browser; the test fails on errors in its console and on requests to other servers."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        shown = browser.new_page(viewport=VIEW, color_scheme="dark")
        shown.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on("request", lambda asked: None if asked.url.startswith(site) else complaints.append(asked.url))
        yield shown
        browser.close()
    assert complaints == []


def sign_in(page: Page, site: str, name: str) -> None:
    """Sign in as people do."""
    page.goto(site)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Sign out").wait_for()


def test_qa_finds_an_alert_looks_and_decides_by_keyboard(page: Page, site: str, case: Case, database: Database) -> None:
    sign_in(page, site, "qa")
    rows = page.locator(".row")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("97\u00a0%")
    expect(rows.last).to_contain_text("30\u00a0%")
    page.keyboard.press("j")
    expect(rows.first).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site}/alerts/{case.alert}")

    page.wait_for_load_state("networkidle")
    films = page.locator(".film")
    expect(films).to_have_count(2)
    left, right = films.first.bounding_box(), films.last.bounding_box()
    assert left is not None
    assert right is not None
    assert (left["width"], left["height"], left["y"]) == (right["width"], right["height"], right["y"])
    for film in films.all():
        expect(film).to_have_js_property("naturalWidth", SIDE)

    heat = page.locator('[data-side="left"] .heat')
    expect(heat).to_be_hidden()
    page.keyboard.press("a")
    expect(heat).to_be_visible()
    expect(heat).to_have_js_property("naturalWidth", 512)
    page.keyboard.press("a")
    expect(heat).to_be_hidden()
    page.keyboard.press("b")
    expect(page.locator(".rival")).to_have_count(1)
    page.keyboard.press("b")
    expect(page.locator(".rival")).to_have_count(0)

    page.keyboard.press("m")
    page.keyboard.type("not the name, a new pacemaker")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page).to_have_url(f"{site}/alerts/{case.weaker_alert}")
    expect(page.locator(".flash")).to_contain_text("not an error")
    page.get_by_role("link", name="Look at it again").click()
    expect(page.locator(".history")).to_contain_text("not the name, a new pacemaker")
    with database.read() as session:
        kept = session.scalars(select(Disposition)).one()
        assert (kept.decision, kept.note) == (AlertState.NOT_AN_ERROR, "not the name, a new pacemaker")


def test_qa_lays_the_rival_over_the_new_image(
    page: Page, site: str, case: Case, settings: Settings, folder: DataDir
) -> None:
    sign_in(page, site, "qa")
    page.goto(f"{site}/alerts/{case.alert}")
    with worker("match", settings, folder):
        page.keyboard.press("o")
        status = page.locator(".aligned [role=status]")
        expect(status).to_contain_text("A help for the eye, not evidence", timeout=30_000)
        pictures = page.locator(".aligned .tint")
        expect(pictures).to_have_count(3)
        for picture in pictures.all():
            expect(picture).to_be_visible()
            expect(picture).to_have_js_property("naturalWidth", SIDE)
        expect(page.locator(".film").first).to_be_hidden()
        slider = page.get_by_label("Fade from the new image")
        slider.focus()
        page.keyboard.press("Home")
        expect(page.locator('[data-part="other"]')).to_have_css("opacity", "0")
        expect(page.locator('[data-part="new"]')).to_have_css("opacity", "1")
        page.keyboard.press("End")
        expect(page.locator('[data-part="new"]')).to_have_css("opacity", "0")
        # Shortcuts work while the slider has the focus.
        page.keyboard.press("b")
        expect(page.locator('[data-part="other"]')).to_have_css("opacity", "0")
        page.keyboard.press("b")
        expect(page.locator('[data-part="other"]')).to_have_css("opacity", "1")
        page.keyboard.press("o")
        expect(page.locator(".film").first).to_be_visible()
        expect(pictures.first).to_be_hidden()
        page.goto(f"{site}/alerts/{case.alert}?right={case.own_prior}")
        page.keyboard.press("o")
        expect(status).not_to_contain_text("Laying", timeout=30_000)
        expect(status).not_to_be_empty()


def test_an_image_that_is_stored_turned_or_inverted_is_shown_as_it_was_compared(
    page: Page, site: str, case: Case, database: Database, folder: DataDir
) -> None:
    preview = ImageFiles(folder).preview_path(case.rival)
    # Taller than wide, in a window that is not: a quarter turn must not cut it.
    with Image.open(preview) as picture:
        upright = picture.convert("L").resize((SIDE, SIDE * 5 // 4))
    page.set_viewport_size({"width": 1440, "height": 640})
    sign_in(page, site, "qa")

    def shown(stored: Image.Image, done: str) -> np.ndarray:
        stored.save(preview, "JPEG", quality=98)
        with database.write() as session:
            session.get_one(Instance, case.rival).righting = done
        page.goto(f"{site}/alerts/{case.alert}")
        page.reload()
        expect(page.locator('[data-side="right"] .film')).to_have_js_property("naturalWidth", upright.width)
        expect(page.locator(".righting")).to_have_count(1 if done else 0)
        # The picture without the ground beside it, which differs where it is inverted.
        return _seen(page, "right")[:, 20:44]

    plain = shown(upright, "")
    for stored, done in (
        (upright.rotate(180), "turned by 180°"),
        (upright.rotate(-90, expand=True), "turned by 90° to the left"),
        (upright.rotate(90, expand=True), "turned by 90° to the right"),
        (Image.eval(upright, lambda grey: 255 - grey), "inverted"),
    ):
        seen = shown(stored, done)
        assert np.corrcoef(plain.ravel(), seen.ravel())[0, 1] > 0.98, done
        expect(page.locator('[data-side="right"] .righting')).to_contain_text(f"{done} before it was compared")


def test_attention_and_difference_fit_an_image_that_is_stored_on_its_side(
    page: Page, site: str, case: Case, database: Database, folder: DataDir
) -> None:
    for number in (case.probe, case.rival):
        preview = ImageFiles(folder).preview_path(number)
        with Image.open(preview) as picture:
            upright = picture.convert("L").resize((SIDE, SIDE * 5 // 4))
        upright.rotate(-90, expand=True).save(preview, "JPEG", quality=98)
        with database.write() as session:
            session.get_one(Instance, number).righting = "turned by 90° to the left"
    sign_in(page, site, "qa")
    page.goto(f"{site}/alerts/{case.alert}")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("a")
    heat = page.locator('[data-side="left"] .heat')
    expect(heat).to_be_visible()
    box, film = heat.bounding_box(), page.locator('[data-side="left"] .film').bounding_box()
    assert box is not None and film is not None
    assert box["height"] == pytest.approx(film["height"], abs=1)
    assert box["width"] == pytest.approx(0.8 * film["height"], abs=1)
    assert box["x"] - film["x"] == pytest.approx((film["width"] - box["width"]) / 2, abs=1)
    page.keyboard.press("a")
    expect(heat).to_be_hidden()
    # The rival is the same picture, so the difference of both is black.
    page.keyboard.press("d")
    expect(page.locator(".rival")).to_have_js_property("naturalWidth", SIDE)
    until = time.monotonic() + 20
    while _seen(page, "left").mean() > 2:
        assert time.monotonic() < until, "what differs of a picture and itself is not black"
        page.wait_for_timeout(50)
    assert _seen(page, "right").mean() > 2


def _seen(page: Page, side: str) -> np.ndarray:
    """What a person sees of the film on a side, grey float (64, 64)."""
    shot = page.locator(f'[data-side="{side}"] .stage').screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("L").resize((64, 64)), dtype=float)


def test_letters_typed_into_the_note_decide_nothing(page: Page, site: str, case: Case, database: Database) -> None:
    sign_in(page, site, "qa")
    page.goto(f"{site}/alerts/{case.alert}")
    page.keyboard.press("m")
    page.keyboard.type("n c s u a")
    expect(page.locator("#note")).to_have_value("n c s u a")
    expect(page).to_have_url(f"{site}/alerts/{case.alert}")
    with database.read() as session:
        assert session.scalars(select(Disposition)).all() == []


def test_both_images_zoom_and_move_together(page: Page, site: str, case: Case) -> None:
    sign_in(page, site, "qa")
    page.goto(f"{site}/alerts/{case.alert}")
    page.locator(".stage").first.hover()
    page.mouse.wheel(0, -400)
    left, right = page.locator("[data-side] .layer").all()
    for layer in (left, right):
        expect(layer).to_have_attribute("style", re.compile(r"scale\(2\.7"))
    assert left.get_attribute("style") == right.get_attribute("style")
    page.keyboard.press("0")
    for layer in (left, right):
        expect(layer).to_have_attribute("style", re.compile(r"scale\(1\)"))


def test_clinician_finds_a_patient_without_naming_it_in_the_address(page: Page, site: str, case: Case) -> None:
    sign_in(page, site, "clinician")
    expect(page).to_have_url(f"{site}/search")
    page.locator("#main").get_by_role("searchbox").fill("MRN-2")
    page.keyboard.press("Enter")
    expect(page.locator(".film-card")).to_have_count(1)
    assert "MRN-2" not in page.url
    page.locator(".film-card").click()
    expect(page).to_have_url(f"{site}/images/{case.rival}")


def test_pages_work_without_scripts(site: str, case: Case) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport=VIEW, java_script_enabled=False)
        sign_in(page, site, "qa")
        page.locator(".row").first.click()
        page.get_by_label("Note").fill("checked")
        page.get_by_role("button", name="Confirmed").click()
        expect(page).to_have_url(f"{site}/alerts/{case.weaker_alert}")
        browser.close()


def test_administrator_sees_the_system(page: Page, site: str, case: Case) -> None:
    sign_in(page, site, "admin")
    page.goto(f"{site}/system")
    expect(page.get_by_text("pixel data end early")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".flash")).to_contain_text("on its way again")
