"""Signing in and out."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from archive.database import Database
from archive.users import set_disabled
from config.paths import DataDir
from config.settings import load_settings
from dashboard.factory import create_app
from tests.archive.filing import PASSWORD
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case

Trail = Callable[[], list[tuple[str, str, int | None]]]


def test_wrong_password_unknown_name_and_disabled_user_get_the_same_answer(
    browser: Browser, database: Database
) -> None:
    with database.write() as session:
        set_disabled(session, "clinician")
    pages = set()
    for name, password in (("qa", "wrong"), ("nobody", PASSWORD), ("clinician", PASSWORD)):
        answer = browser.client.post("/login", data={"csrf_token": browser.token(), "name": name, "password": password})
        assert answer.status_code == 401
        pages.add(re.sub(r'value="[^"]+"', "", answer.text))
    assert len(pages) == 1


def test_attempts_are_limited(browser: Browser) -> None:
    assert [browser.sign_in("qa", "wrong") for _ in range(11)] == [401] * 10 + [429]
    assert browser.sign_in("qa") == 429


def test_signing_in_leads_to_the_page_that_was_wanted(browser: Browser, case: Case) -> None:
    assert browser.client.get(f"/alerts/{case.alert}").location == "/login"
    form = {"csrf_token": browser.token(), "name": "qa", "password": PASSWORD}
    assert browser.client.post("/login", data=form).location == f"/alerts/{case.alert}"


@pytest.mark.parametrize("address", ["/login?next=https://evil.example", "/login?next=//evil.example"])
def test_nobody_is_sent_elsewhere(browser: Browser, address: str) -> None:
    browser.client.get("//evil.example/alerts")
    form = {"csrf_token": browser.token(), "name": "qa", "password": PASSWORD, "next": "https://evil.example"}
    assert browser.client.post(address, data=form).location == "/"


def test_signing_out_ends_the_session(qa: Browser) -> None:
    assert qa.post("/logout") == 303
    assert qa.client.get("/alerts").location == "/login"


def test_a_copied_cookie_is_void_after_signing_out(app: Flask, qa: Browser) -> None:
    cookie = qa.client.get_cookie("lungprint")
    assert cookie is not None
    thief, elsewhere = Browser(app.test_client()), Browser(app.test_client())
    thief.client.set_cookie("lungprint", cookie.value)
    assert elsewhere.sign_in("qa") == 303
    assert thief.client.get("/alerts").status_code == 200
    assert qa.post("/logout") == 303
    assert thief.client.get("/alerts").location == "/login"
    # Only this sign-in has ended.
    assert elsewhere.client.get("/alerts").status_code == 200


def test_form_without_its_token_is_refused(qa: Browser, case: Case, browser: Browser) -> None:
    assert browser.client.post("/login", data={"name": "qa", "password": PASSWORD}).status_code == 400
    for address in ("/logout", "/search", f"/alerts/{case.alert}/decision"):
        assert qa.client.post(address, data={"decision": "confirmed", "seen": "open"}).status_code == 400
    assert qa.client.get("/alerts").status_code == 200


def test_attempts_are_audited_without_names_that_nobody_has(browser: Browser, audited: Trail) -> None:
    browser.sign_in("qa", "wrong")
    browser.sign_in("my secret password typed into the wrong field")
    browser.sign_in("QA")
    browser.post("/logout")
    assert [(who, what) for who, what, _ in audited()] == [
        ("qa", "sign-in refused"),
        ("(unknown name)", "sign-in refused"),
        ("qa", "signed in"),
        ("qa", "signed out"),
    ]


def test_cookie_is_for_this_site_and_no_script(app: Flask) -> None:
    cookie = app.test_client().get("/login").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie


def test_cookie_is_for_https_alone_behind_a_proxy(case: Case, folder: DataDir) -> None:
    settings = load_settings(folder.root, environ={"LUNGPRINT_WEB_HTTPS": "true"})
    answer = create_app(settings, folder).test_client().get("/login", base_url="https://lungprint.example")
    assert answer.headers["Set-Cookie"].startswith("__Host-lungprint=")
    assert "; Secure" in answer.headers["Set-Cookie"]
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_attempts_behind_a_proxy_are_counted_by_browser(case: Case, folder: DataDir) -> None:
    settings = load_settings(
        folder.root, environ={"LUNGPRINT_WEB_HTTPS": "true", "LUNGPRINT_WEB_LOGINS_PER_MINUTE": "1"}
    )
    client = create_app(settings, folder).test_client()
    site = "https://lungprint.example"
    token = re.search(r'csrf_token" value="([^"]+)"', client.get("/login", base_url=site).text)
    assert token is not None
    form = {"csrf_token": token[1], "name": "qa", "password": "wrong"}
    codes = [
        client.post(
            "/login", base_url=site, data=form, headers={"X-Forwarded-For": address, "Referer": f"{site}/login"}
        ).status_code
        for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1")
    ]
    assert codes == [401, 401, 429]
