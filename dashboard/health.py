"""/healthz: whether the system can do its work, for load balancers and container engines; it tells no numbers."""

from __future__ import annotations

import redis
from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from config.broker import redis_url
from dashboard.access import open_to_anybody
from dashboard.processes import processes
from dashboard.services import Services, services

blueprint = Blueprint("health", __name__)

REDIS_SECONDS = 1.0


@blueprint.get("/healthz")
@open_to_anybody
def healthz() -> ResponseReturnValue:
    """200 when database, queue and listener are well, else 503; `unknown` = not on this machine."""
    here = services()
    parts = {"database": _database(here), "queue": _queue(here), "listener": _listener(here)}
    well = all(state != "down" for state in parts.values())
    return jsonify({"status": "ok" if well else "degraded"} | parts), 200 if well else 503


def _database(here: Services) -> str:
    try:
        with here.database.read() as session:
            session.execute(text("SELECT id FROM users LIMIT 1"))
    except SQLAlchemyError:
        return "down"
    return "ok"


def _queue(here: Services) -> str:
    url = redis_url(here.settings, here.folder)
    try:
        with redis.Redis.from_url(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS) as client:
            client.ping()
    except redis.RedisError:
        return "down"
    return "ok"


def _listener(here: Services) -> str:
    for process in processes(here.folder) or ():
        if process.name == "listener":
            return "ok" if process.alive else "down"
    return "unknown"
