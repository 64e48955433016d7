"""The administrator's pages."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from archive.database import Database
from archive.models import Instance, Quarantined
from archive.states import ImageState
from config.paths import DataDir
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case

Trail = Callable[[], list[tuple[str, str, int | None]]]


def test_system_page_shows_states_queues_dead_letters_and_quarantine(
    admin: Browser, case: Case, database: Database, folder: DataDir
) -> None:
    with database.write() as session:
        session.add(Quarantined(file_name="7f3a.dcm", status=0xC210, reason="no SOP Instance UID", size=12))
    dead = {"listener": 2**22 + 1, "encode": os.getpid()}
    (folder.run / "system.json").write_text(json.dumps({"processes": dead}))
    page = admin.client.get("/system").text
    for fact in ("pixel data end early", "7f3a.dcm", "0xC210", "no SOP Instance UID", "Redis does not answer", "gone"):
        assert fact in page
    assert "Sokolova" not in page


def test_dead_letter_is_tried_again(admin: Browser, case: Case, database: Database, audited: Trail) -> None:
    assert admin.post(f"/system/dead-letters/{case.failed}/retry") == 303
    with database.read() as session:
        image = session.get_one(Instance, case.failed)
        assert (image.state, image.attempts, image.reason) == (ImageState.RECEIVED, 0, "")
    assert ("admin", "dead letter retried", case.failed) in audited()
    assert "on its way again" in admin.client.get("/system").text
    assert admin.post(f"/system/dead-letters/{case.failed}/retry") == 303
    assert audited().count(("admin", "dead letter retried", case.failed)) == 1


def test_matched_image_is_not_tried_again(admin: Browser, case: Case, database: Database) -> None:
    admin.post(f"/system/dead-letters/{case.probe}/retry")
    with database.read() as session:
        assert session.get_one(Instance, case.probe).state is ImageState.MATCHED


def test_users_are_listed_without_their_hashes(admin: Browser) -> None:
    page = admin.client.get("/users").text
    assert "clinician" in page
    assert "argon2" not in page


def test_trail_is_shown_and_its_viewing_is_audited(admin: Browser, qa: Browser, case: Case, audited: Trail) -> None:
    qa.client.get(f"/alerts/{case.alert}")
    page = admin.client.get("/audit").text
    assert "alert viewed" in page
    assert "MRN-2" in page
    assert "alert viewed" not in admin.client.get("/audit?user=admin").text
    assert ("admin", "audit trail viewed", None) in audited()
