"""Headers of every answer: nothing from elsewhere, no framing, no copy in a cache."""

from __future__ import annotations

from flask import Flask, request
from flask.wrappers import Response

from config.settings import Settings

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Robots-Tag": "noindex, nofollow",
}


def add_headers(app: Flask, settings: Settings) -> None:
    """Have `app` send them; behind HTTPS browsers are told to stay with it."""

    def add(response: Response) -> Response:
        response.headers.update(HEADERS)
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "private, no-store"
        if settings.web.https:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response

    app.after_request(add)
