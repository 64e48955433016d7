"""Similar cases, asked of a worker through a real queue."""

from __future__ import annotations

import html
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from flask import Flask

from archive.states import Role
from config.broker import Queue, Task, celery_app
from config.paths import DataDir
from config.settings import Settings
from dashboard import asking
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case

Trail = Callable[[], list[tuple[str, str, int | None]]]


@pytest.fixture
def asked() -> list[dict[str, Any]]:
    """What the worker was asked."""
    return []


@pytest.fixture
def index(
    settings: Settings,
    folder: DataDir,
    queue_server: None,
    case: Case,
    asked: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Celery]:
    """A Celery worker on the query queue that answers as the index does, with two fixed images."""
    # A busy machine is no error.
    monkeypatch.setattr(asking.Workers.similar, "__defaults__", (60.0,))
    app = celery_app(settings, folder)

    # Not shared: Celery would hand this test's function to the next test's application.
    @app.task(name=str(Task.SIMILAR), ignore_result=False, shared=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def similar(**wanted: Any) -> list[dict[str, Any]]:
        asked.append(wanted)
        if wanted["k"] == 49:
            raise RuntimeError("Sokolova^Vera")
        if wanted["where"]["sex"] == "O":
            return []
        found = [
            {"instance": case.stranger, "cosine": 0.91, "hamming": 7, "probability": 0.42},
            {"instance": case.rival, "cosine": 0.73, "hamming": 19, "probability": 0.0004},
        ]
        return (found * 4)[: wanted["k"]] if wanted["k"] == 7 else found

    with start_worker(app, perform_ping_check=False, queues=[str(Queue.QUERY)], pool="solo"):
        yield app


def test_cases_are_shown_best_first_and_audited(
    signed_in: Callable[[Role], Browser], case: Case, index: Celery, asked: list[dict[str, Any]], audited: Trail
) -> None:
    browser = signed_in(Role.CLINICIAN)
    page = browser.client.get(f"/similar/{case.probe}").text
    assert page.index("Smith, John") < page.index("7 bits apart") < page.index("19 bits apart")
    where = {"since": None, "until": None, "sex": "", "age_from": None, "age_to": None}
    expected = {"instance": case.probe, "k": 13, "by": "findings", "offset": 0, "patient": "others", "where": where}
    assert asked == [expected]
    assert "2024-03-14 · F · 65 years" in page
    assert ("clinician", "similar cases searched", case.probe) in audited()
    assert ("clinician", "image listed", case.rival) in audited()
    page = browser.client.get(f"/similar/{case.probe}?by=person&k=6").text
    assert "42\u00a0%" in page
    assert (asked[1]["by"], asked[1]["k"]) == ("person", 7)
    failed = browser.client.get(f"/similar/{case.probe}?k=48")
    assert failed.status_code == 503
    assert "The workers failed" in failed.text


def test_a_search_is_narrowed_and_turned_page_by_page(
    qa: Browser, case: Case, index: Celery, asked: list[dict[str, Any]]
) -> None:
    query = "k=6&patient=all&since=2020-01-02&until=2024-12-31&sex=F&age_from=40&age_to=70"
    page = qa.client.get(f"/similar/{case.probe}?{query}&page=3").text
    where = {"since": "2020-01-02", "until": "2024-12-31", "sex": "F", "age_from": 40, "age_to": 70}
    assert asked == [{"instance": case.probe, "k": 7, "by": "findings", "offset": 12, "patient": "all", "where": where}]
    assert "Cases 13 to 18" in page
    for number, rel in ((2, "prev"), (4, "next")):
        found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
        assert found is not None
        target = parse_qs(urlsplit(html.unescape(found[1])).query)
        assert target == {**parse_qs(query), "page": [str(number)]}
    assert 'name="since" value="2020-01-02"' in page
    assert '<option value="F" selected>' in page


def test_no_case_that_fits_is_told(qa: Browser, case: Case, index: Celery) -> None:
    assert "No image of the gallery fits" in qa.client.get(f"/similar/{case.probe}?sex=O").text
    assert "no further images" in qa.client.get(f"/similar/{case.probe}?sex=O&page=2").text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=yesterday", "YYYY-MM-DD"),
        ("since=2024-02-01&until=2024-01-01", "exchange them"),
        ("age_from=old", "whole years"),
        ("age_from=50&age_to=40", "the least first"),
        ("sex=X", "F, M, O"),
    ],
)
def test_an_impossible_filter_is_refused_in_plain_words(qa: Browser, case: Case, query: str, said: str) -> None:
    for address in (f"/similar/{case.probe}", f"/api/v1/similar/{case.probe}"):
        answer = qa.client.get(f"{address}?{query}")
        assert answer.status_code == 400
        assert said in answer.text


def test_the_api_gives_cases_and_the_next_page(
    signed_in: Callable[[Role], Browser], case: Case, index: Celery, audited: Trail, asked: list[dict[str, Any]]
) -> None:
    browser = signed_in(Role.CLINICIAN)
    answer = browser.client.get(f"/api/v1/similar/{case.probe}?k=6&by=person&sex=F&page=2")
    assert answer.status_code == 200, answer.text
    assert (asked[0]["offset"], asked[0]["by"], asked[0]["where"]["sex"]) == (6, "person", "F")
    first = answer.json["results"][0]
    assert (first["instance"], first["patient_id"], first["hamming"]) == (case.stranger, "MRN-3", 7)
    assert first["acquired"] == "2024-03-14T09:26:00+00:00"
    assert (len(answer.json["results"]), answer.json["next"]) == (6, 3)
    assert browser.client.get(f"/api/v1/similar/{case.probe}").json["next"] is None
    assert ("clinician", "similar cases searched", case.probe) in audited()
    assert browser.client.get("/api/v1/similar/9999").status_code == 404
    failed = browser.client.get(f"/api/v1/similar/{case.probe}?k=48")
    assert (failed.status_code, set(failed.json)) == (503, {"error", "advice"})


def test_many_threads_may_ask_at_once(app: Flask, case: Case, index: Celery) -> None:
    workers = app.extensions["lungprint"].workers
    answers: list[list[asking.Found]] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(workers.similar(asking.Question(case.probe, by="person"), 6, 30.0))
        )
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[found.instance for found in answer] for answer in answers] == [[case.stranger, case.rival]] * 12


def test_silent_index_is_told_in_plain_words(
    qa: Browser, case: Case, queue_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking.Workers.similar, "__defaults__", (0.3,))
    answer = qa.client.get(f"/similar/{case.probe}")
    assert answer.status_code == 503
    assert "did not answer" in answer.text


def test_absent_queue_is_told_in_plain_words(qa: Browser, case: Case) -> None:
    start = time.monotonic()
    answer = qa.client.get(f"/similar/{case.probe}")
    assert answer.status_code == 503
    assert "cannot be reached" in answer.text
    assert time.monotonic() - start < 10
