"""Error pages and the log hold no data."""

from __future__ import annotations

import logging

import pytest
from flask import Flask

from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case


def test_unforeseen_error_shows_and_logs_no_data(app: Flask, qa: Browser, caplog: pytest.LogCaptureFixture) -> None:
    secret = "Sokolova^Vera MRN-1"

    def fail(alert_id: int) -> str:
        raise RuntimeError(secret)

    fail.__dict__["access"] = app.view_functions["alerts.review"].access
    app.view_functions["alerts.review"] = fail
    with caplog.at_level(logging.ERROR):
        answer = qa.client.get("/alerts/1")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "RuntimeError while serving alerts.review" in caplog.text
    assert secret not in answer.text + caplog.text


def test_unknown_page_is_plain(browser: Browser, case: Case) -> None:
    answer = browser.client.get("/nothing/MRN-1")
    assert answer.status_code == 404
    assert "MRN-1" not in answer.text
