"""The administrator's pages: how the system is doing, who may sign in, and who saw what."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from archive.audit import AuditAction, Entry, trail
from archive.models import Instance
from archive.progress import retry
from archive.states import ImageState, Role
from archive.statistics import dead_letters, models_in_use, quarantined_files, rates, system_status
from archive.users import list_users
from dashboard.access import open_to
from dashboard.chart import bars
from dashboard.processes import processes
from dashboard.seen import note, note_here
from dashboard.services import services

blueprint = Blueprint("system", __name__)

TRAIL_SIZE = 100


@blueprint.get("/system")
@open_to(Role.ADMIN)
def page() -> ResponseReturnValue:
    """States, queues, rates, processes, dead letters and the quarantine."""
    here = services()
    status = system_status(here.database, here.settings, here.folder)
    with here.database.read() as session:
        failed = dead_letters(session)
        minutes = rates(session)
        refused = quarantined_files(session)
        models = models_in_use(session)
    note(Entry(AuditAction.SYSTEM_VIEWED))
    return render_template(
        "system.html",
        status=status,
        rates=minutes,
        received=bars(minutes.received),
        matched=bars(minutes.matched),
        dead_letters=failed,
        quarantine=refused,
        models=models,
        weights=here.settings.encoder.weights,
        processes=processes(here.folder),
    )


@blueprint.post("/system/dead-letters/<int:instance_id>/retry")
@open_to(Role.ADMIN)
def retry_dead_letter(instance_id: int) -> ResponseReturnValue:
    """Give an image that was given up another try; the reconciler sends it on its way."""
    with services().database.write() as session:
        image = session.get(Instance, instance_id) or abort(404)
        if image.state is not ImageState.FAILED or not retry(session, instance_id):
            flash("This image is no dead letter any more.", "refused")
        else:
            note_here(session, AuditAction.DEAD_LETTER_RETRIED, "instance", image.id, image.patient_pk)
            flash(f"Image {instance_id} is on its way again.", "done")
    return redirect(url_for("system.page"), 303)


@blueprint.get("/users")
@open_to(Role.ADMIN)
def users() -> ResponseReturnValue:
    """Who may sign in; changes are made on the command line."""
    with services().database.read() as session:
        found = list_users(session)
    note(Entry(AuditAction.USERS_VIEWED))
    return render_template("users.html", users=found)


@blueprint.get("/audit")
@open_to(Role.ADMIN)
def audit() -> ResponseReturnValue:
    """The trail, newest first, of everybody or of one user."""
    user = request.args.get("user", "")[:64]
    with services().database.read() as session:
        found = trail(session, request.args.get("page", 1, int), TRAIL_SIZE, user)
        names = [one.name for one in list_users(session)]
    note(Entry(AuditAction.AUDIT_VIEWED))
    return render_template("audit.html", trail=found, user=user, names=names)
