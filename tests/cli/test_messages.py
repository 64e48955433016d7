"""`lungprint messages`: what did not get through, and another try."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from archive.database import Database
from archive.models import Notification
from archive.states import Channel, NotificationState
from cli.messages import command
from config.paths import DataDir
from tests.archive.filing import file_alert, file_image, file_patient

DEAD, PENDING, SENT = NotificationState.DEAD, NotificationState.PENDING, NotificationState.SENT


def run(folder: DataDir, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(folder.root)])


def file(database: Database, *states: NotificationState) -> list[int]:
    with database.write() as session:
        rows = []
        for state in states:
            alert = file_alert(session, file_image(session, file_patient(session, "P1")))
            rows.append(
                Notification(alert_pk=alert.id, channel=Channel.WEBHOOK, state=state, attempts=16, reason="no answer")
            )
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


def states(database: Database) -> list[tuple[NotificationState, int]]:
    with database.read() as session:
        return [(row.state, row.attempts) for row in session.query(Notification).order_by(Notification.id)]


def test_what_was_not_sent_is_listed_with_its_reason(folder: DataDir, database: Database) -> None:
    dead, pending, _ = file(database, DEAD, PENDING, SENT)
    rows = json.loads(run(folder, "list", "--json").stdout)
    assert [(row["id"], row["state"], row["reason"]) for row in rows] == [
        (dead, "dead", "no answer"),
        (pending, "pending", "no answer"),
    ]
    assert "no answer" in run(folder, "list").output


def test_a_state_can_be_asked_for(folder: DataDir, database: Database) -> None:
    *_, sent = file(database, DEAD, PENDING, SENT)
    assert [row["id"] for row in json.loads(run(folder, "list", "--state", "sent", "--json").stdout)] == [sent]


def test_none_is_an_answer(folder: DataDir, database: Database) -> None:
    assert run(folder, "list").output == "No such messages.\n"


def test_all_that_was_not_sent_is_tried_again(folder: DataDir, database: Database) -> None:
    file(database, DEAD, PENDING, SENT)
    done = run(folder, "retry", "--all")
    assert (done.exit_code, done.output) == (0, "2 messages will be tried again.\n")
    assert states(database) == [(PENDING, 0), (PENDING, 0), (SENT, 16)]


def test_one_is_tried_again_by_its_id(folder: DataDir, database: Database) -> None:
    first, _ = file(database, DEAD, DEAD)
    assert run(folder, "retry", str(first)).exit_code == 0
    assert states(database) == [(PENDING, 0), (DEAD, 16)]


def test_an_id_that_is_sent_or_unknown_is_told(folder: DataDir, database: Database) -> None:
    (sent,) = file(database, SENT)
    done = run(folder, "retry", str(sent), "999")
    assert done.exit_code == 1
    assert "2 are sent or do not exist" in done.output


def test_nothing_is_tried_again_unasked(folder: DataDir, database: Database) -> None:
    file(database, DEAD)
    assert run(folder, "retry").exit_code != 0
    assert states(database) == [(DEAD, 16)]
