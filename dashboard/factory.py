"""Makes the dashboard's application for one system; nothing happens when this module is imported."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from archive.alerts import severity_of
from archive.database import open_database
from archive.states import Role
from config.broker import celery_app
from config.paths import DataDir
from config.settings import Settings
from dashboard import alerts, api, errors, health, images, login, metrics, overlays, search, similar, system, wording
from dashboard.access import guard, signed_in
from dashboard.asking import Workers
from dashboard.headers import add_headers
from dashboard.limits import limit_attempts
from dashboard.secret import secret_key
from dashboard.services import Services
from dashboard.shown import Shown

# The largest form is a note of 4,000 characters, each of up to 12 bytes when URL-encoded.
LARGEST_FORM = 64 * 1024


class SessionCookie(SecureCookieSessionInterface):
    """A signed cookie; what a page asks by itself does not keep a session alive."""

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        """Whether this answer renews the cookie."""
        return request.endpoint != "alerts.newest" and super().should_set_cookie(app, session)


def create_app(settings: Settings, folder: DataDir) -> Flask:
    """The application of the system in `folder`; its database must have the newest schema.

    Raises:
        ConfigurationError: the signing key or the database cannot be used.
    """
    app = errors.QuietFlask("dashboard")
    app.session_interface = SessionCookie()
    app.config.update(
        SECRET_KEY=secret_key(folder),
        MAX_CONTENT_LENGTH=LARGEST_FORM,
        PERMANENT_SESSION_LIFETIME=timedelta(minutes=settings.web.session_minutes),
        SESSION_COOKIE_NAME="__Host-lungprint" if settings.web.https else "lungprint",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=settings.web.https,
        WTF_CSRF_TIME_LIMIT=None,
    )
    workers = Workers(celery_app(settings, folder))
    app.extensions["lungprint"] = Services(settings, folder, open_database(settings, folder), workers, Shown())
    errors.handle_errors(app)
    add_headers(app, settings)
    limit_attempts(app)
    guard(app)
    CSRFProtect(app)
    for part in (login, alerts, overlays, images, similar, search, system, api, health, metrics):
        app.register_blueprint(part.blueprint)
    app.jinja_env.filters.update(
        person=wording.person_name,
        dicom_date=wording.dicom_date,
        study_date=wording.study_date,
        righting=wording.righting,
        sex_and_age=wording.sex_and_age,
        local=wording.local_time,
        percent=wording.percent,
    )
    app.context_processor(_for_every_page)
    if settings.web.https:
        # The proxy that ends HTTPS says whom it speaks for; without one nobody is believed.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
    return app


def _for_every_page() -> dict[str, Any]:
    return {
        "me": signed_in(),
        "Role": Role,
        "KINDS": wording.KINDS,
        "STATES": wording.STATES,
        "severity_of": severity_of,
    }
