"""The JSON API."""

from __future__ import annotations

from collections.abc import Callable

from archive.database import Database
from archive.models import Instance
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case

Trail = Callable[[], list[tuple[str, str, int | None]]]


def test_alerts_have_the_documented_shape(qa: Browser, case: Case, database: Database) -> None:
    answer = qa.client.get("/api/v1/alerts")
    alerts = answer.json
    assert [alert["id"] for alert in alerts] == [case.alert, case.weaker_alert, case.held_alert]
    assert answer.headers["X-Total-Count"] == "3"
    with database.read() as session:
        probe, rival = (session.get_one(Instance, key).sop_instance_uid for key in (case.probe, case.rival))
    created = alerts[0].pop("created")
    assert created.endswith("+00:00")
    assert alerts[0] == {
        "id": case.alert,
        "kind": "wrong_patient",
        "probability": 0.97,
        "patient_id": "MRN-1",
        "sop_instance_uid": probe,
        "other_patient_id": "MRN-2",
        "other_sop_instance_uid": rival,
        "state": "open",
        "severity": "critical",
    }
    assert alerts[1]["other_patient_id"] is None


def test_alerts_are_filtered_and_paged(qa: Browser, case: Case) -> None:
    def ids(query: str) -> list[int]:
        return [alert["id"] for alert in qa.client.get(f"/api/v1/alerts?{query}").json]

    assert ids("state=held") == [case.held_alert]
    assert ids("state=held&state=open&kind=wrong_patient") == [case.alert, case.held_alert]
    assert ids("limit=2&page=2") == [case.held_alert]
    assert ids("limit=2&page=3") == []


def test_unknown_filter_is_refused_as_json(qa: Browser) -> None:
    answer = qa.client.get("/api/v1/alerts?state=everything")
    assert answer.status_code == 400
    assert set(answer.json) == {"error", "advice"}


def test_fetching_is_audited(qa: Browser, audited: Trail) -> None:
    qa.client.get("/api/v1/alerts")
    assert ("qa", "alerts fetched by API", None) in audited()
