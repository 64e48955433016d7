"""Prometheus metrics."""

from __future__ import annotations

from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from archive.states import Role
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case
from tests.dashboard.test_access import ELSEWHERE, FACTS, basic


def samples(text: str) -> dict[tuple[str, str], float]:
    """Values by name and label."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_parse_and_count(app: Flask, case: Case) -> None:
    answer = app.test_client().get("/metrics")
    assert answer.mimetype == "text/plain"
    found = samples(answer.text)
    assert found["lungprint_images", "MATCHED"] == 4
    assert found["lungprint_images", "FAILED"] == found["lungprint_dead_letters", ""] == 1
    assert found["lungprint_open_alerts", "wrong_patient"] == 1
    assert found["lungprint_held_alerts", ""] == 1
    assert found["lungprint_queue_up", ""] == 0
    assert ("lungprint_queue_length", "encode") not in found
    assert 0 <= found["lungprint_last_received_age_seconds", ""] < 300
    assert not any(fact in answer.text for fact in FACTS)


def test_metrics_with_redis_show_each_queue(app: Flask, queue_server: None) -> None:
    found = samples(app.test_client().get("/metrics").text)
    assert found["lungprint_queue_up", ""] == 1
    assert found["lungprint_queue_length", "match"] == 0


def test_metrics_from_elsewhere_need_an_administrator(app: Flask) -> None:
    client = app.test_client()
    codes = {role: client.get("/metrics", environ_base=ELSEWHERE, headers=basic(role)).status_code for role in Role}
    assert codes == {Role.QA: 403, Role.CLINICIAN: 403, Role.ADMIN: 200}
    assert client.get("/metrics", environ_base=ELSEWHERE).status_code == 401
    assert Browser(client).client.get("/metrics").status_code == 200
