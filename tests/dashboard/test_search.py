"""Finding a patient's images."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask

from archive.database import Database
from archive.models import Instance
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case

Trail = Callable[[], list[tuple[str, str, int | None]]]


def find(browser: Browser, wanted: str) -> str:
    """The page of results."""
    return browser.client.post("/search", data={"csrf_token": browser.token(), "wanted": wanted}).text


def test_patient_id_finds_all_images_of_the_label(qa: Browser, case: Case, audited: Trail) -> None:
    page = find(qa, " MRN-1 ")
    assert f'href="/images/{case.probe}"' in page
    assert f'href="/images/{case.own_prior}"' in page
    assert f'href="/images/{case.rival}"' not in page
    assert ("qa", "patient searched", None) in audited()
    assert ("qa", "image listed", case.probe) in audited()


def test_accession_number_finds_its_study(qa: Browser, case: Case, database: Database) -> None:
    with database.read() as session:
        accession = session.get_one(Instance, case.rival).series.study.accession_number
    page = find(qa, accession)
    assert f'href="/images/{case.rival}"' in page
    assert f'href="/images/{case.probe}"' not in page


def test_nothing_is_found_for_part_of_an_id_or_a_wildcard(qa: Browser, case: Case) -> None:
    for wanted in ("MRN", "%", "MRN-_", "", "' OR 1=1 --"):
        assert 'href="/images/' not in find(qa, wanted), wanted


def test_what_is_searched_for_is_shown_as_text(qa: Browser, case: Case) -> None:
    assert "<script>" not in find(qa, "<script>alert(1)</script>")


def test_address_of_no_page_takes_patient_data(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        assert set(rule.arguments) <= {"instance_id", "alert_id", "filename", "part"}
