"""Similar cases, asked of a worker through a real queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

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
    settings: Settings, folder: DataDir, queue_server: None, case: Case, asked: list[dict[str, Any]]
) -> Iterator[Celery]:
    """A Celery worker on the query queue that answers as the index does, with two fixed images."""
    app = celery_app(settings, folder)

    @app.task(name=str(Task.SIMILAR), ignore_result=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def similar(**wanted: Any) -> list[dict[str, Any]]:
        asked.append(wanted)
        if wanted["k"] == 48:
            raise RuntimeError("Sokolova^Vera")
        return [
            {"instance": case.stranger, "cosine": 0.91, "hamming": 7, "probability": 0.42},
            {"instance": case.rival, "cosine": 0.73, "hamming": 19, "probability": 0.0004},
        ]

    with start_worker(app, perform_ping_check=False, queues=[str(Queue.QUERY)], pool="solo"):
        yield app


def test_cases_are_shown_best_first_and_audited(
    signed_in: Callable[[Role], Browser], case: Case, index: Celery, asked: list[dict[str, Any]], audited: Trail
) -> None:
    browser = signed_in(Role.CLINICIAN)
    page = browser.client.get(f"/similar/{case.probe}").text
    assert page.index("Smith, John") < page.index("7 bits apart") < page.index("19 bits apart")
    assert asked == [{"instance": case.probe, "embedding": None, "code": None, "k": 12, "by": "findings"}]
    assert ("clinician", "similar cases searched", case.probe) in audited()
    assert ("clinician", "image listed", case.rival) in audited()
    page = browser.client.get(f"/similar/{case.probe}?by=person&k=6").text
    assert "42\u00a0%" in page
    assert (asked[1]["by"], asked[1]["k"]) == ("person", 6)
    failed = browser.client.get(f"/similar/{case.probe}?k=48")
    assert failed.status_code == 503
    assert "The workers failed" in failed.text


def test_many_threads_may_ask_at_once(app: Flask, case: Case, index: Celery) -> None:
    workers = app.extensions["lungprint"].workers
    answers: list[list[asking.Found]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(workers.similar(case.probe, 6, "person", 30.0)))
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
