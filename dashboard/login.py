"""Signing in and out."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_user, logout_user
from sqlalchemy.orm import Session

from archive.audit import AuditAction, record
from archive.sessions import end_sign_in, open_sign_in
from archive.states import Role
from archive.users import verify
from dashboard.access import LONGEST_SESSION_SECONDS, account, account_of, open_to, open_to_anybody, signed_in
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
    wanted, before = session.get("wanted"), signed_in()
    with services().database.write() as database:
        if before is not None:
            end_sign_in(database, before.token)
        token = open_sign_in(database, user.id, timedelta(seconds=LONGEST_SESSION_SECONDS))
        _note(database, user.name, user.id, AuditAction.SIGNED_IN)
    session.clear()
    session.permanent = True
    session["since"] = time.time()
    login_user(account_of(user, token))
    return redirect(_where_to(wanted), 303)


@blueprint.post("/logout")
@open_to()
def sign_out() -> ResponseReturnValue:
    """End the session, here and wherever else its cookie is."""
    who = account()
    with services().database.write() as database:
        end_sign_in(database, who.token)
        _note(database, who.name, who.pk, AuditAction.SIGNED_OUT)
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


def _note(database: Session, name: str, pk: int, action: AuditAction) -> None:
    record(database, name, action, "user", pk, address=request.remote_addr or "")
