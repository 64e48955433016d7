"""Who may see which page: nobody without signing in, and then by role; a view that says nothing is for nobody."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, abort, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask.wrappers import Request, Response
from flask_login import LoginManager, current_user, logout_user
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from archive.models import User
from archive.sessions import is_open
from archive.states import Role
from archive.users import verify
from dashboard.limits import count_failure, may_try
from dashboard.seen import note_refused
from dashboard.services import services

# A session ends after this time even when it is in use.
LONGEST_SESSION_SECONDS = 12 * 3600

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Access:
    """Who may call a view.

    `anonymous`: anybody; `local`: also anybody on this very machine; `basic`: programs may send name and password
    (HTTP Basic) instead of a session.
    """

    roles: frozenset[Role]
    anonymous: bool = False
    local: bool = False
    basic: bool = False


NOBODY = Access(frozenset())


@dataclass(frozen=True)
class Account:
    """The user of a request, in the shape Flask-Login asks for; `token` names the sign-in, "" without a session."""

    pk: int
    name: str
    role: Role
    fingerprint: str
    token: str = ""
    is_authenticated: bool = True
    is_active: bool = True
    is_anonymous: bool = False

    def get_id(self) -> str:
        """What the session keeps; it is void once the password has changed or the user has signed out."""
        return f"{self.pk}:{self.fingerprint}:{self.token}"


def account_of(user: User, token: str = "") -> Account:
    """The account of a stored user, signed in under a token."""
    digest = hashlib.sha256(user.password_hash.encode()).hexdigest()[:24]
    return Account(user.id, user.name, user.role, digest, token)


def open_to(*roles: Role, basic: bool = False, local: bool = False) -> Callable[[View], View]:
    """Mark a view as open to these roles; none named = every role. See `Access` for the rest."""

    def mark(view: View) -> View:
        view.__dict__["access"] = Access(frozenset(roles or Role), local=local, basic=basic)
        return view

    return mark


def open_to_anybody(view: View) -> View:
    """Mark a view as open without signing in; it shows no data."""
    view.__dict__["access"] = Access(frozenset(Role), anonymous=True)
    return view


def access_of(app: Flask, endpoint: str) -> Access:
    """What a view says about itself; styles and scripts are open, as the sign-in page needs them."""
    if endpoint == "static":
        return Access(frozenset(Role), anonymous=True)
    found: Access = getattr(app.view_functions[endpoint], "access", NOBODY)
    return found


def signed_in() -> Account | None:
    """The account of the present request."""
    return current_user._get_current_object() if current_user.is_authenticated else None


def account() -> Account:
    """The account of the present request, where the gate has made sure that there is one."""
    found = signed_in()
    if found is None:
        abort(401)
    return found


def guard(app: Flask) -> None:
    """Put the gate before every view of `app`."""
    manager = LoginManager()
    # Binding to address and browser exempts sessions that time out, as all of ours do, and moves with every proxy.
    manager.session_protection = None
    manager.user_loader(_from_session)
    manager.request_loader(_from_password)
    manager.init_app(app)
    app.before_request(_gate)


def _gate() -> ResponseReturnValue | None:
    if request.endpoint is None:
        return None
    access = access_of(current_app, request.endpoint)
    if access.anonymous or (access.local and _from_this_machine()):
        return None
    if signed_in() is None:
        return _ask_to_sign_in(access)
    if "since" in session and time.time() - session["since"] > LONGEST_SESSION_SECONDS:
        logout_user()
        session.clear()
        return _ask_to_sign_in(access)
    if account().role not in access.roles:
        abort(403)
    return None


def _ask_to_sign_in(access: Access) -> ResponseReturnValue:
    if g.get("too_many_attempts"):
        abort(429)
    if access.basic:
        raise Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "Lungprint"}))
    if request.method != "GET" or request.headers.get("Sec-Fetch-Dest", "document") != "document":
        abort(401)
    # Only the name of one of our own views is kept, so that nobody can be sent elsewhere afterwards.
    session["wanted"] = [request.endpoint, request.view_args or {}]
    answer: Response = redirect(url_for("login.page"), 303)  # type: ignore[assignment]  # Flask's own Response
    return answer


def _from_this_machine() -> bool:
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _from_session(kept: str) -> Account | None:
    key, _, rest = kept.partition(":")
    fingerprint, _, token = rest.partition(":")
    with services().database.read() as database:
        user = database.get(User, int(key)) if key.isdecimal() else None
        if user is None or user.disabled or not is_open(database, token, user.id):
            return None
        found = account_of(user, token)
    return found if found.fingerprint == fingerprint else None


def _from_password(asked: Request) -> Account | None:
    """Name and password sent with a request (HTTP Basic), for views that allow it."""
    sent = asked.authorization
    if sent is None or sent.type != "basic" or asked.endpoint is None:
        return None
    if not access_of(current_app, asked.endpoint).basic:
        return None
    if not may_try():
        g.too_many_attempts = True
        return None
    name, password = sent.username or "", sent.password or ""
    with services().database.read() as database:
        user = verify(database, name, password)
    if user is None:
        count_failure()
        note_refused(name)
        return None
    return account_of(user)
