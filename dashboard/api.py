"""The JSON API: alerts for other programs, with a session or with name and password (HTTP Basic)."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from flask import Blueprint, abort, jsonify, request
from flask.typing import ResponseReturnValue

from archive.alerts import alert_json
from archive.audit import AuditAction, Entry
from archive.review import alert_page
from archive.states import AlertKind, AlertState, Role
from dashboard.access import open_to
from dashboard.seen import note
from dashboard.services import services

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

PAGE_SIZE = 200
LARGEST_PAGE = 1000

Choice = TypeVar("Choice", bound=StrEnum)


@blueprint.get("/alerts")
@open_to(Role.QA, Role.ADMIN, basic=True)
def alerts() -> ResponseReturnValue:
    """A list, most probable first; `?state=open&state=held&kind=wrong_patient&page=2&limit=200` narrows it.

    The header X-Total-Count says how many there are in all. An unknown state or kind is answered with 400.
    """
    states = _chosen("state", AlertState)
    kinds = _chosen("kind", AlertKind)
    size = min(max(1, request.args.get("limit", PAGE_SIZE, int)), LARGEST_PAGE)
    number = max(1, request.args.get("page", 1, int))
    with services().database.read() as session:
        page = alert_page(session, states, kinds, number, size)
        found = [alert_json(alert) for alert in page.alerts] if number == page.page else []
    note(Entry(AuditAction.ALERTS_FETCHED))
    response = jsonify(found)
    response.headers["X-Total-Count"] = str(page.total)
    return response


def _chosen(name: str, kind: type[Choice]) -> tuple[Choice, ...]:
    given = request.args.getlist(name)
    if not set(given) <= {str(member) for member in kind}:
        abort(400)
    return tuple(kind(one) for one in given)
