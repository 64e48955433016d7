"""Signing in and out."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_user, logout_user

from archive.audit import AuditAction, record
from archive.states import Role
from archive.users import verify
from dashboard.access import Account, account, account_of, open_to, open_to_anybody, signed_in
from dashboard.limits import attempts, limiter
from dashboard.seen import note_refused
from dashboard.services import services

blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
@open_to_anybody
def page() -> ResponseReturnValue:
    """The form."""
    if signed_in() is not None:
        return redirect(url_for("alerts.home"))
    return render_template("login.html", refused=False)


@blueprint.post("/login")
@open_to_anybody
@limiter.limit(attempts)
def sign_in() -> ResponseReturnValue:
    """Open a session; whatever was wrong, the answer is the same."""
    name, password = request.form.get("name", ""), request.form.get("password", "")
    with services().database.read() as database:
        user = verify(database, name, password)
    if user is None:
        note_refused(name)
        return render_template("login.html", refused=True), 401
    wanted = session.get("wanted")
    session.clear()
    session.permanent = True
    session["since"] = time.time()
    login_user(account_of(user))
    _note(account_of(user), AuditAction.SIGNED_IN)
    return redirect(_where_to(wanted), 303)


@blueprint.post("/logout")
@open_to()
def sign_out() -> ResponseReturnValue:
    """End the session."""
    _note(account(), AuditAction.SIGNED_OUT)
    logout_user()
    session.clear()
    return redirect(url_for("login.page"), 303)


def home_of(role: Role) -> str:
    """The page on which a role begins."""
    return url_for("search.page") if role is Role.CLINICIAN else url_for("alerts.queue")


def _where_to(wanted: Any) -> str:
    if isinstance(wanted, list) and len(wanted) == 2 and wanted[0] in current_app.view_functions:
        return url_for(wanted[0], **wanted[1])
    return url_for("alerts.home")


def _note(who: Account, action: AuditAction) -> None:
    with services().database.write() as database:
        record(database, who.name, action, "user", who.pk, address=request.remote_addr or "")
