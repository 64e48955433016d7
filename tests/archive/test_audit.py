"""The audit trail."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from archive.audit import AuditAction, record, trail
from archive.database import Database
from archive.models import AuditEvent, Disposition
from archive.review import dispose
from archive.states import AlertState, Role
from tests.archive.filing import enlist, file_alert, file_image, file_patient


def test_trail_shows_newest_first_with_the_patients_label(database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "P-1")
        record(session, "anna", AuditAction.SIGNED_IN, address="10.0.0.9")
        record(session, "anna", AuditAction.IMAGE_VIEWED, "instance", 7, patient.id, "10.0.0.9")
    with database.read() as session:
        newest, oldest = trail(session).rows
        assert (newest.event.action, newest.patient_id, newest.event.object_pk) == ("image viewed", "P-1", 7)
        assert (oldest.event.action, oldest.patient_id, oldest.event.address) == ("signed in", "", "10.0.0.9")


def test_trail_is_paged_and_filtered_by_user(database: Database) -> None:
    with database.write() as session:
        for number in range(7):
            record(session, "anna" if number % 2 else "boris", AuditAction.ALERT_VIEWED, "alert", number)
    with database.read() as session:
        last = trail(session, page=99, size=3)
        assert (last.page, last.pages, last.total) == (3, 3, 7)
        assert [row.event.object_pk for row in last.rows] == [0]
        assert [row.event.object_pk for row in trail(session, user_name="anna").rows] == [5, 3, 1]


@pytest.mark.parametrize("change", [update(AuditEvent).values(user_name="nobody"), delete(AuditEvent)])
def test_event_can_be_neither_changed_nor_removed(database: Database, change: object) -> None:
    with database.write() as session:
        record(session, "anna", AuditAction.SIGNED_IN)
    with pytest.raises(DBAPIError, match="only ever added"), database.write() as session:
        session.execute(change)  # type: ignore[call-overload]  # either kind of statement
    with database.read() as session:
        assert session.scalars(select(AuditEvent.user_name)).all() == ["anna"]


def test_disposition_cannot_be_removed(database: Database) -> None:
    with database.write() as session:
        alert = file_alert(session, file_image(session, file_patient(session, "P-1")))
        dispose(session, alert.id, enlist(session, Role.QA), AlertState.CONFIRMED)
    with pytest.raises(DBAPIError, match="only ever added"), database.write() as session:
        session.execute(delete(Disposition))
