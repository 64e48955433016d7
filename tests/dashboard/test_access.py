"""Who may see what: every route of the application is tried."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from archive.database import Database
from archive.states import Role
from archive.users import set_disabled, set_password
from dashboard.access import NOBODY, access_of
from tests.archive.filing import PASSWORD
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case

OPEN = {"static", "login.page", "login.sign_in", "health.healthz"}
ELSEWHERE = {"REMOTE_ADDR": "10.1.2.3"}
FACTS = ("Sokolova", "MRN-1", "MRN-2", "山田", "2.25.3")


def routes(app: Flask) -> list[tuple[str, str, str]]:
    """(endpoint, method, address) of every route, with ids filled in."""
    found = []
    for rule in app.url_map.iter_rules():
        address = rule.rule.replace("<path:filename>", "lungprint.css")
        address = address.replace("<int:instance_id>", "1").replace("<int:alert_id>", "1").replace("<part>", "new")
        assert "<" not in address, f"{rule.rule}: give this test a value for it"
        found += [(rule.endpoint, method, address) for method in rule.methods - {"HEAD", "OPTIONS"}]
    return found


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_no_route_shows_anything_without_signing_in(app: Flask) -> None:
    tried = routes(app)
    assert len(tried) > 15
    for endpoint, method, address in tried:
        if endpoint in OPEN:
            continue
        answer = app.test_client().open(address, method=method, environ_base=ELSEWHERE)
        assert answer.status_code in (303, 401), f"{method} {address} gave {answer.status_code}"
        assert not any(fact in answer.text for fact in FACTS), address
        if answer.status_code == 303:
            assert answer.location == "/login"


def test_open_routes_show_no_data(app: Flask) -> None:
    for endpoint, method, address in routes(app):
        if endpoint in OPEN and method == "GET":
            with app.test_client().get(address) as answer:
                page = answer.text
            assert not any(fact in page for fact in (*FACTS, "97 %", "Confirmed")), address


def test_every_view_says_who_may_call_it(app: Flask) -> None:
    assert [rule.endpoint for rule in app.url_map.iter_rules() if access_of(app, rule.endpoint) == NOBODY] == []


def test_view_that_says_nothing_is_for_nobody(app: Flask, signed_in: Callable[[Role], Browser]) -> None:
    browser = signed_in(Role.ADMIN)
    app.view_functions["system.users"] = lambda: "forgotten"
    assert browser.client.get("/users").status_code == 403


@pytest.mark.parametrize(
    ("role", "allowed", "refused"),
    [
        (Role.QA, ["/alerts", "/alerts/1", "/images/1", "/search", "/api/v1/alerts"], ["/system", "/users", "/audit"]),
        (
            Role.CLINICIAN,
            ["/images/1", "/images/1/preview", "/search"],
            ["/alerts", "/alerts/1", "/alerts/newest", "/system", "/users", "/audit", "/api/v1/alerts"],
        ),
        (Role.ADMIN, ["/alerts", "/alerts/1", "/images/1", "/search", "/system", "/users", "/audit"], []),
    ],
)
def test_roles_see_their_pages_alone(
    signed_in: Callable[[Role], Browser], role: Role, allowed: list[str], refused: list[str]
) -> None:
    client = signed_in(role).client
    for address, code in [*((one, 200) for one in allowed), *((one, 403) for one in refused)]:
        with client.get(address) as answer:
            assert answer.status_code == code, address


def test_clinician_cannot_decide(signed_in: Callable[[Role], Browser], case: Case) -> None:
    browser = signed_in(Role.CLINICIAN)
    assert browser.post(f"/alerts/{case.alert}/decision", decision="confirmed", seen="open") == 403


def test_each_role_begins_on_its_page(signed_in: Callable[[Role], Browser]) -> None:
    assert signed_in(Role.QA).client.get("/").location == "/alerts"
    assert signed_in(Role.CLINICIAN).client.get("/").location == "/search"


def test_disabled_user_is_out_at_once(qa: Browser, database: Database) -> None:
    assert qa.client.get("/alerts").status_code == 200
    with database.write() as session:
        set_disabled(session, "qa")
    assert qa.client.get("/alerts").status_code == 303


def test_new_password_ends_open_sessions(qa: Browser, database: Database) -> None:
    with database.write() as session:
        set_password(session, "qa", "another long password")
    assert qa.client.get("/alerts").status_code == 303


def test_session_ends_after_its_longest_time_even_in_use(qa: Browser) -> None:
    with qa.client.session_transaction() as session:
        session["since"] -= 13 * 3600
    assert qa.client.get("/alerts").status_code == 303
    assert qa.client.get("/alerts").status_code == 303


def test_basic_password_opens_the_api_but_no_page(app: Flask) -> None:
    client: FlaskClient = app.test_client()
    assert client.get("/api/v1/alerts", headers=basic("qa")).status_code == 200
    assert client.get("/alerts", headers=basic("qa")).status_code == 303
    assert client.get("/api/v1/alerts", headers=basic("clinician")).status_code == 403
    wrong = client.get("/api/v1/alerts", headers=basic("qa", "wrong"))
    assert wrong.status_code == 401
    assert wrong.headers["WWW-Authenticate"].lower().startswith("basic")


def test_wrong_basic_passwords_are_limited(app: Flask) -> None:
    client = app.test_client()
    for _ in range(11):
        assert client.get("/api/v1/alerts", headers=basic("qa")).status_code == 200
    codes = [client.get("/api/v1/alerts", headers=basic("qa", "wrong")).status_code for _ in range(11)]
    assert codes == [401] * 10 + [429]
