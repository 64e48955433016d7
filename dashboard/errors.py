"""Pages for what cannot be shown; none holds data."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

from flask import Flask, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from archive.review import NoSuchAlert

SAYINGS = {
    400: ("This form has expired", "Go back, load the page again and repeat what you did."),
    401: ("Please sign in", "You are signed out, or name and password are not right."),
    403: ("Not for your role", "Your account may not see this page. An administrator can give you another role."),
    404: ("Nothing here", "There is no such page, or what it showed belongs to another system."),
    405: ("Not possible here", "This address does not take that kind of request."),
    409: ("Somebody was faster", "The alert has been decided meanwhile. Go back and load the page again."),
    413: ("Too much", "What was sent is larger than any form of this dashboard."),
    429: ("Too many attempts", "Wait a minute, then try again."),
    500: ("Something went wrong", "The fault is written to the dashboard's log. Try again, or ask an administrator."),
    503: ("Not available just now", "Try again in a moment; the system page says what is missing."),
}

_log = logging.getLogger(__name__)
_Raised = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class QuietFlask(Flask):
    """Flask whose log shows where a request failed, but not the message: it may quote a patient's data."""

    def log_exception(self, exc_info: _Raised) -> None:
        """Write type and place of an unforeseen error."""
        kind, _, place = exc_info
        frames = "".join(traceback.format_list(traceback.extract_tb(place)))
        name = kind.__name__ if kind else "unknown error"
        _log.error("%s while serving %s:\n%s", name, request.endpoint, frames)


def handle_errors(app: Flask) -> None:
    """Have `app` show its own pages for errors."""
    app.register_error_handler(HTTPException, _page)
    app.register_error_handler(CSRFError, _page)
    app.register_error_handler(NoSuchAlert, _no_such_alert)


def _page(error: HTTPException) -> ResponseReturnValue:
    code = error.code or 500
    if code < 400:
        return error
    title, advice = SAYINGS.get(code, SAYINGS[500 if code >= 500 else 400])
    headers = [pair for pair in error.get_headers() if pair[0] not in ("Content-Type", "Content-Length")]
    if request.path.startswith("/api/"):
        return jsonify({"error": title, "advice": advice}), code, headers
    return render_template("error.html", code=code, title=title, advice=advice), code, headers


def _no_such_alert(_: NoSuchAlert) -> ResponseReturnValue:
    title, advice = SAYINGS[404]
    return render_template("error.html", code=404, title=title, advice=advice), 404
