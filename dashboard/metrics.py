"""/metrics for Prometheus: sums over the whole system, for this machine or for an administrator."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from archive.models import now
from archive.states import AlertState, Role
from archive.statistics import SystemStatus, system_status
from dashboard.access import open_to
from dashboard.services import services

blueprint = Blueprint("metrics", __name__)


class SystemCollector(Collector):
    """One look at the system as Prometheus metrics; no label holds anything of a patient."""

    def __init__(self, status: SystemStatus) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        status = self._status
        yield _by("images", "Images by state", "state", {str(k): v for k, v in status.images.items()})
        waiting = {str(queue): length for queue, length in status.queues.items() if length is not None}
        yield _by("queue_length", "Messages waiting in each queue; absent without Redis", "queue", waiting)
        yield _one("queue_up", "Whether the queue's server answers", float(status.redis_answers))
        kinds = {str(kind): count for kind, count in status.waiting_by_kind.items()}
        yield _by("open_alerts", "Alerts that wait for a person", "kind", kinds)
        yield _one("held_alerts", "Alerts beyond the alert budget", status.alerts[AlertState.HELD])
        yield _one("dead_letters", "Images given up after the last attempt", status.dead_letters)
        yield _one("gallery_images", "Images that a new one is compared with", status.gallery_images)
        yield _one("patients", "Labels that images are filed under", status.patients)
        yield _one("quarantined_files", "Files refused as unreadable", status.quarantined)
        yield _one("variants", "Files that came under a taken SOP Instance UID", status.variants)
        for errand, backlog in status.backlogs.items():
            yield _one(f"{errand}_pending", f"Still to do: {errand.words}", backlog.pending)
            yield _one(f"{errand}_dead", f"Given up: {errand.words}", backlog.dead)
        if status.last_received is not None:
            age = (now() - status.last_received).total_seconds()
            yield _one("last_received_age_seconds", "Time since the newest image arrived", max(0.0, age))


@blueprint.get("/metrics")
@open_to(Role.ADMIN, basic=True, local=True)
def metrics() -> ResponseReturnValue:
    """The numbers, to a scraper on this machine, or with an administrator's session or name and password."""
    here = services()
    registry = CollectorRegistry()
    registry.register(SystemCollector(system_status(here.database, here.settings, here.folder)))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _one(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"lungprint_{name}", meaning, value=value)


def _by(name: str, meaning: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"lungprint_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
