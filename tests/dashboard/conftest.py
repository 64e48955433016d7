"""The real application over a real database with a filed misfiling, and browsers signed in to it by role."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from archive.database import Database
from archive.models import AuditEvent
from archive.states import Role
from config.paths import DataDir
from config.settings import Settings
from dashboard.factory import create_app
from tests.archive.filing import PASSWORD
from tests.dashboard.misfiling import Case, draw_previews, file_case


class Browser:
    """A test client that keeps the CSRF token of the page it saw last."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def token(self) -> str:
        """The token of the session."""
        page = self.client.get("/login")
        if page.status_code != 200:
            page = self.client.get("/search")
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found is not None
        return found[1]

    def sign_in(self, name: str, password: str = PASSWORD) -> int:
        """Send the form; returns the status."""
        form = {"csrf_token": self.token(), "name": name, "password": password}
        return self.client.post("/login", data=form).status_code

    def post(self, address: str, **form: str) -> int:
        """Send a form with its token; returns the status."""
        return self.client.post(address, data={"csrf_token": self.token()} | form).status_code


@pytest.fixture(scope="session")
def previews() -> tuple[bytes, bytes]:
    """Previews of two synthetic people, drawn once."""
    return draw_previews()


@pytest.fixture
def case(database: Database, folder: DataDir, previews: tuple[bytes, bytes]) -> Case:
    """A misfiled image, filed with everything that the pages show."""
    return file_case(database, folder, previews)


@pytest.fixture
def app(case: Case, settings: Settings, folder: DataDir) -> Flask:
    """The application."""
    return create_app(settings, folder)


@pytest.fixture
def browser(app: Flask) -> Browser:
    """Somebody who has not signed in."""
    return Browser(app.test_client())


@pytest.fixture
def signed_in(app: Flask) -> Callable[[Role], Browser]:
    """Gives a browser signed in with a role."""

    def sign_in(role: Role) -> Browser:
        browser = Browser(app.test_client())
        assert browser.sign_in(str(role)) == 303
        return browser

    return sign_in


@pytest.fixture
def qa(signed_in: Callable[[Role], Browser]) -> Browser:
    """A browser of QA staff."""
    return signed_in(Role.QA)


@pytest.fixture
def admin(signed_in: Callable[[Role], Browser]) -> Browser:
    """A browser of an administrator."""
    return signed_in(Role.ADMIN)


@pytest.fixture
def audited(database: Database) -> Callable[[], list[tuple[str, str, int | None]]]:
    """Gives the audit trail so far: user, action and object."""

    def read() -> list[tuple[str, str, int | None]]:
        with database.read() as session:
            events = session.scalars(select(AuditEvent).order_by(AuditEvent.id))
            return [(event.user_name, event.action, event.object_pk) for event in events]

    return read
