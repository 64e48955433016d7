"""Headers of every answer, and that pages ask nothing of other servers."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case


@pytest.mark.parametrize("address", ["/login", "/alerts", "/healthz", "/nothing", "/static/lungprint.css"])
def test_every_answer_has_the_headers(qa: Browser, address: str) -> None:
    with qa.client.get(address) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert ("no-store" in answer.headers["Cache-Control"]) == ("static" not in address)


def test_pages_need_neither_other_servers_nor_inline_code(app: Flask, admin: Browser, case: Case) -> None:
    places = ["/alerts", f"/alerts/{case.alert}", f"/images/{case.probe}", "/search", "/system", "/users", "/audit"]
    for place in places:
        page = admin.client.get(place).text
        assert not re.search(r'(?:src|href|action)="(?!/[^/]|#main)', page), place
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", page), place
