"""Raising alerts: each finding once, within the site's alert budget, with the messages that go with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, joinedload

from archive.budget import AlertBudget, RecordRule, Suspicion
from archive.models import Alert, Disposition, Instance, Series, now
from archive.notifications import enqueue
from archive.priors import IS_RETRIEVED
from archive.severity import Severity, severity
from archive.states import AUDIT_KINDS, AlertKind, AlertState
from config.errors import LungprintError
from config.settings import Settings

LONGEST_KEY = 96
# In the evidence of an alert about an image that was fetched as a prior.
HISTORY = "history"

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class FindingInvalid(LungprintError):
    """A finding holds impossible values."""


@dataclass(frozen=True)
class Finding:
    """What an alert is raised about.

    Attributes:
        key: names the finding; the same finding again has the same key. See `label_key` and its neighbours.
        probability: that the alert is right, in [0, 1].
        instance_id, patient_pk: the image and its label.
        other_instance_id, other_patient_pk: the image and label it was compared with, if any.
        evidence: JSON, shown to people who review the alert.
    """

    key: str
    kind: AlertKind
    probability: float
    instance_id: int
    patient_pk: int
    other_instance_id: int | None = None
    other_patient_pk: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise FindingInvalid(f"An alert's probability lies between 0 and 1, not {self.probability}.")
        if not 0 < len(self.key) <= LONGEST_KEY:
            raise FindingInvalid(f"An alert's key has 1 to {LONGEST_KEY} characters.")

    @property
    def is_fact(self) -> bool:
        """Whether it is read off the data instead of estimated: the same pixels twice, or one UID for two files."""
        return self.kind.finding is AlertKind.DUPLICATE_IMAGE


def label_key(instance_id: int) -> str:
    """Key of the finding that an image's label is wrong (wrong patient, prior mismatch)."""
    return f"label:{instance_id}"


def record_key(one: int, another: int) -> str:
    """Key of the finding that two labels are one person, whichever of them was seen first."""
    return f"record:{min(one, another)}:{max(one, another)}"


def pixels_key(instance_id: int) -> str:
    """Key of the finding that an image's pixels were already there."""
    return f"pixels:{instance_id}"


def conflict_key(instance_id: int, file_digest: str) -> str:
    """Key of the finding that a file came under the SOP Instance UID of another."""
    return f"conflict:{instance_id}:{file_digest}"


def raise_alert(
    session: Session,
    settings: Settings,
    finding: Finding,
    at: datetime | None = None,
    anew: bool = False,
    is_history: bool = False,
) -> Alert:
    """Store a finding as an alert, OPEN or HELD; the same finding twice is one alert.

    A finding that comes again with a higher probability updates its alert as long as nobody has decided about it; one
    that is already decided stays as it is, and one that had closed by itself comes back. Estimates are OPEN within the
    alert budget, else HELD (see `archive.budget`); facts (`Finding.is_fact`) are never wrong, so they are always OPEN
    and use up no budget. An alert that becomes OPEN gets a message to the webhook, where one is configured.

    Args:
        session: of `Database.write`.
        at: time of the alert, by default the present.
        anew: the alert's own image was judged anew, so its finding counts even if it is less probable than before.
        is_history: the image was fetched from the PACS as a prior: the alert is HELD, whatever the budget, for nobody
            is about to read it; it can be searched, and the same finding of another image takes its place.

    Returns:
        the alert, flushed.
    """
    moment = at or now()
    alert = session.scalar(select(Alert).where(Alert.key == finding.key).with_for_update())
    if alert is None:
        alert = Alert(key=finding.key, kind=finding.kind, state=AlertState.HELD, created_at=moment)
        describe(alert, finding)
        session.add(alert)
        session.flush()
    elif alert.state is AlertState.RESOLVED:
        alert.state, alert.resolution = AlertState.HELD, ""
        describe(alert, finding)
    elif is_decided(session, alert) or (is_history and HISTORY not in alert.evidence):
        return alert
    elif (
        finding.probability > alert.probability
        or (anew and finding.instance_id == alert.instance_pk)
        or (HISTORY in alert.evidence and not is_history)
    ):
        if alert.kind.of_audit:
            # It is news now: it moves to the live list, as far as the budget allows.
            alert.state = AlertState.HELD
        describe(alert, finding)
    else:
        return alert
    if is_history:
        alert.evidence = {**alert.evidence, HISTORY: True}
    elif not finding.is_fact:
        session.flush()
        _keep_budget(session, settings)
    elif alert.state is AlertState.HELD:
        alert.state = AlertState.OPEN
        enqueue(session, settings, alert)
    session.flush()
    return alert


def list_alerts(session: Session, states: Collection[AlertState] = ()) -> list[dict[str, Any]]:
    """Alerts as `alert_json`, most probable first.

    Args:
        states: only alerts in these; empty = all.
    """
    query = select(Alert).options(
        joinedload(Alert.instance),
        joinedload(Alert.patient),
        joinedload(Alert.other_instance),
        joinedload(Alert.other_patient),
    )
    if states:
        query = query.where(Alert.state.in_(states))
    return [alert_json(alert) for alert in session.scalars(query.order_by(Alert.probability.desc(), Alert.id))]


def severity_of(alert: Alert) -> Severity:
    """How much depends on an alert."""
    across = alert.other_patient_pk is not None and alert.other_patient_pk != alert.patient_pk
    return severity(alert.kind, alert.probability, across)


def alert_json(alert: Alert) -> dict[str, Any]:
    """An alert as other programs read it; `created` is ISO 8601 in UTC."""
    return {
        "id": alert.id,
        "kind": alert.kind.value,
        "probability": alert.probability,
        "patient_id": alert.patient.patient_id,
        "sop_instance_uid": alert.instance.sop_instance_uid,
        "other_patient_id": None if alert.other_patient is None else alert.other_patient.patient_id,
        "other_sop_instance_uid": None if alert.other_instance is None else alert.other_instance.sop_instance_uid,
        "state": alert.state.value,
        "created": alert.created_at.isoformat(),
        "severity": severity_of(alert).value,
    }


def describe(alert: Alert, finding: Finding) -> None:
    """Let an alert say what a finding says; its state stays."""
    alert.kind = finding.kind
    alert.probability = finding.probability
    alert.instance_pk, alert.patient_pk = finding.instance_id, finding.patient_pk
    alert.other_instance_pk, alert.other_patient_pk = finding.other_instance_id, finding.other_patient_pk
    alert.evidence = dict(finding.evidence)


def is_decided(session: Session, alert: Alert) -> bool:
    """Whether a person has decided anything about an alert."""
    decisions = select(func.count()).select_from(Disposition).where(Disposition.alert_pk == alert.id)
    return bool(session.scalar(decisions))


def record_rule(settings: Settings) -> RecordRule:
    """What the alert list makes of second records, by the options of a system."""
    return RecordRule(settings.verdict.records_share, settings.verdict.record_weight)


def _keep_budget(session: Session, settings: Settings) -> None:
    """Show those estimates of the window that the budget allows for and of which the most is to be expected, and hold
    the others back.

    Of those that images are wrongly filed under one patient, one at a time is shown. One that nobody has decided about
    may leave the list for another of which more is to be expected, and comes back when there is room.
    """
    options = settings.verdict
    budget = AlertBudget(options.alerts_per_1000, options.budget_window, record_rule(settings))
    start, studies = _window(session, options.budget_window)
    decided = exists().where(Disposition.alert_pk == Alert.id)
    rows = session.execute(
        select(Alert, decided).where(
            Alert.created_at >= start,
            Alert.state != AlertState.RESOLVED,
            Alert.kind.not_in((AlertKind.DUPLICATE_IMAGE, *AUDIT_KINDS)),
        )
    )
    alerts = {alert.id: (alert, kept) for alert, kept in rows if HISTORY not in alert.evidence}
    waiting = (AlertState.OPEN, AlertState.HELD)
    suspicions = [
        Suspicion(
            number,
            alert.probability,
            kept or alert.state not in waiting,
            alert.kind is AlertKind.DUPLICATE_RECORD,
            None if alert.kind is AlertKind.DUPLICATE_RECORD else alert.patient_pk,
        )
        for number, (alert, kept) in alerts.items()
    ]
    # The study that is judged now is not among those that were.
    shown = budget.shown(suspicions, studies + 1)
    for number, (alert, kept) in alerts.items():
        if kept or alert.state not in waiting or (number in shown) == (alert.state is AlertState.OPEN):
            continue
        session.refresh(alert, with_for_update=True)
        if alert.state in waiting and not is_decided(session, alert):
            alert.state = AlertState.OPEN if number in shown else AlertState.HELD
            if number in shown:
                enqueue(session, settings, alert)


def _window(session: Session, studies: int) -> tuple[datetime, int]:
    """When the first of the last `studies` studies was matched, and how many there are; the beginning of time while
    there are fewer.

    Studies that were fetched as history count neither here nor in the budget.
    """
    images = (
        select(Series.study_pk, Instance.matched_at)
        .join(Series, Instance.series_pk == Series.id)
        .where(Instance.matched_at.is_not(None), ~IS_RETRIEVED)
        .order_by(Instance.matched_at.desc())
        .execution_options(yield_per=studies)
    )
    seen: set[int] = set()
    with session.execute(images) as rows:
        for study_pk, matched_at in rows:
            seen.add(study_pk)
            if len(seen) >= studies and matched_at is not None:
                return matched_at, studies
    return _BEGINNING, len(seen)
