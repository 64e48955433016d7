"""/healthz."""

from __future__ import annotations

import json
import os

from flask import Flask

from config.paths import DataDir


def test_all_well(app: Flask, queue_server: None, folder: DataDir) -> None:
    (folder.run / "system.json").write_text(json.dumps({"processes": {"listener": os.getpid()}}))
    answer = app.test_client().get("/healthz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ok", "database": "ok", "queue": "ok", "listener": "ok"}


def test_listener_elsewhere_is_no_fault(app: Flask, queue_server: None) -> None:
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.json["listener"]) == (200, "unknown")


def test_dead_listener_absent_queue_and_lost_database_are_told(app: Flask, folder: DataDir) -> None:
    (folder.run / "system.json").write_text(json.dumps({"processes": {"listener": 2**22 + 1}}))
    answer = app.test_client().get("/healthz")
    assert answer.status_code == 503
    assert answer.json == {"status": "degraded", "database": "ok", "queue": "down", "listener": "down"}
    app.extensions["lungprint"].database.close()
    for journal in folder.root.glob("archive.sqlite3-*"):
        journal.unlink()
    folder.database.write_bytes(b"not a database any more" * 100)
    assert app.test_client().get("/healthz").json["database"] == "down"
