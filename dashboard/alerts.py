"""The work of QA staff: the list of alerts, the review of one, and the decision about it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, abort, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.audit import AuditAction, Entry
from archive.models import Alert, Instance, User
from archive.review import (
    CLOSED,
    DECISIONS,
    AlertDetail,
    DecidedMeanwhile,
    DecisionRefused,
    alert_detail,
    alert_page,
    count_alerts,
    dispose,
    neighbours,
)
from archive.states import AUDIT_KINDS, LIVE_KINDS, AlertKind, AlertState, Role
from dashboard import wording
from dashboard.access import account, open_to
from dashboard.facts import compared
from dashboard.login import home_of
from dashboard.seen import note, note_here, of_alert, of_image
from dashboard.services import services

blueprint = Blueprint("alerts", __name__)

PAGE_SIZE = 25
# Title, states and kinds of each tab; what an audit of the archive found does not stand among the news.
TABS: dict[str, tuple[str, tuple[AlertState, ...], tuple[AlertKind, ...]]] = {
    "open": ("Open", (AlertState.OPEN,), LIVE_KINDS),
    "archive": ("Archive audit", (AlertState.OPEN,), AUDIT_KINDS),
    "investigating": ("Under investigation", (AlertState.UNDER_INVESTIGATION,), tuple(AlertKind)),
    "held": ("Held back", (AlertState.HELD,), tuple(AlertKind)),
    "closed": ("Closed", CLOSED, tuple(AlertKind)),
}
BUTTONS = (
    (AlertState.CONFIRMED, "c", "Confirmed", "the label is wrong"),
    (AlertState.NOT_AN_ERROR, "n", "Not an error", "the label is right"),
    (AlertState.SAME_PERSON, "s", "Same person", "two records"),
    (AlertState.UNDER_INVESTIGATION, "u", "Under investigation", ""),
)


@dataclass(frozen=True)
class Tab:
    """One tab above the list."""

    name: str
    title: str
    count: int


@blueprint.get("/")
@open_to()
def home() -> ResponseReturnValue:
    """Each role's first page."""
    return redirect(home_of(account().role))


@blueprint.get("/alerts")
@open_to(Role.QA, Role.ADMIN)
def queue() -> ResponseReturnValue:
    """The list, most probable first."""
    name = request.args.get("tab", "open")
    if name not in TABS:
        abort(404)
    _, states, listed = TABS[name]
    asked = request.args.get("kind", "")
    kind = AlertKind(asked) if asked in listed else None
    with services().database.read() as session:
        counts = count_alerts(session)
        number = request.args.get("page", 1, int)
        page = alert_page(session, states, listed if kind is None else (kind,), number, PAGE_SIZE)
        newest = session.scalar(select(func.max(Alert.id))) or 0
    note(*(entry for alert in page.alerts for entry in of_alert(alert, AuditAction.ALERT_LISTED)))
    tabs = [
        Tab(key, title, sum(counts[state, one] for state in wanted for one in kinds))
        for key, (title, wanted, kinds) in TABS.items()
    ]
    pills = [one for one in listed if not one.of_audit or name == "archive" or any(counts[s, one] for s in states)]
    return render_template("alerts.html", page=page, tabs=tabs, tab=name, pills=pills, kind=kind or "", newest=newest)


@blueprint.get("/alerts/newest")
@open_to(Role.QA, Role.ADMIN)
def newest() -> ResponseReturnValue:
    """How many alerts came after the one given, so that an open list can say so."""
    after = request.args.get("after", 0, int)
    with services().database.read() as session:
        wanted = select(func.count()).where(
            Alert.id > after, Alert.state == AlertState.OPEN, Alert.kind.in_(LIVE_KINDS)
        )
        return jsonify(new=session.scalar(wanted) or 0)


@blueprint.get("/alerts/<int:alert_id>")
@open_to(Role.QA, Role.ADMIN)
def review(alert_id: int) -> ResponseReturnValue:
    """One alert: the probe on the left; on the right the rival, or the image chosen from either strip."""
    with services().database.read() as session:
        detail = alert_detail(session, alert_id)
        above, below = neighbours(session, detail.alert)
    alert = detail.alert
    right = _right_side(detail, request.args.get("right", None, int))
    shown = {image.id: image for image in (*detail.own_priors, *detail.other_images, alert.instance)}
    note(
        Entry(AuditAction.ALERT_VIEWED, "alert", alert.id, alert.patient_pk),
        *(
            [Entry(AuditAction.ALERT_VIEWED, "alert", alert.id, alert.other_patient_pk)]
            if alert.other_patient_pk
            else []
        ),
        *(of_image(image, AuditAction.IMAGE_LISTED) for image in shown.values()),
    )
    return render_template(
        "review.html",
        alert=alert,
        detail=detail,
        right=right,
        facts=compared(alert.instance, right),
        headline=wording.headline(alert),
        reasons=wording.reasons(alert),
        meaning=wording.meaning(alert),
        buttons=BUTTONS,
        resolution=wording.RESOLUTIONS[alert.resolution],
        undo=wording.UNDO.get(alert.state, "Take the decision back"),
        above=above,
        below=below,
        tab=_tab_of(alert),
    )


@blueprint.post("/alerts/<int:alert_id>/decision")
@open_to(Role.QA, Role.ADMIN)
def decide(alert_id: int) -> ResponseReturnValue:
    """Record a decision, then show the next alert that waits."""
    decision, seen = request.form.get("decision", ""), request.form.get("seen", "")
    if decision not in DECISIONS or seen not in set(AlertState):
        abort(400)
    try:
        with services().database.write() as session:
            user = session.get_one(User, account().pk)
            alert = dispose(
                session,
                alert_id,
                user,
                AlertState(decision),
                request.form.get("note", ""),
                AlertState(seen),
                request.remote_addr or "",
            )
            _, below = neighbours(session, alert)
            following = below or _first_open(session, alert)
            note_here(session, AuditAction.ALERT_DISPOSED, "alert", alert.id, alert.patient_pk)
    except (DecidedMeanwhile, DecisionRefused) as error:
        flash(str(error), "refused")
        return redirect(url_for("alerts.review", alert_id=alert_id), 303)
    flash(f"{alert_id}:{wording.STATES[AlertState(decision)]}", "decided")
    if decision == AlertState.OPEN:
        return redirect(url_for("alerts.review", alert_id=alert_id), 303)
    if following is None:
        return redirect(url_for("alerts.queue", tab="archive" if alert.kind.of_audit else None), 303)
    return redirect(url_for("alerts.review", alert_id=following), 303)


def right_choices(detail: AlertDetail) -> dict[int, Instance]:
    """The images that may stand on the right of an alert's page, by id: of either patient, and the rival."""
    alert = detail.alert
    choices = {image.id: image for image in (*detail.own_priors, *detail.other_images)}
    if alert.other_instance is not None and alert.other_instance_pk != alert.instance_pk:
        choices.setdefault(alert.other_instance.id, alert.other_instance)
    return choices


def _right_side(detail: AlertDetail, chosen: int | None) -> Instance | None:
    alert, choices = detail.alert, right_choices(detail)
    if chosen is not None:
        return choices.get(chosen) or abort(404)
    own = alert.evidence.get("own") or {}
    for candidate in (alert.other_instance_pk, own.get("best_instance"), *choices):
        if candidate in choices:
            return choices[candidate]
    return None


def _first_open(session: Session, but: Alert) -> int | None:
    """The most probable open alert of the same list."""
    listed = AUDIT_KINDS if but.kind.of_audit else LIVE_KINDS
    found = alert_page(session, (AlertState.OPEN,), listed, size=2).alerts
    return next((alert.id for alert in found if alert.id != but.id), None)


def _tab_of(alert: Alert) -> str:
    return next(name for name, (_, states, kinds) in TABS.items() if alert.state in states and alert.kind in kinds)
