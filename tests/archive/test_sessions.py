"""A sign-in is good until it ends, for its own user alone."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from archive.database import Database
from archive.models import SignIn, now
from archive.sessions import end_sign_in, is_open, open_sign_in
from archive.states import Role
from tests.archive.filing import enlist

LONGEST = timedelta(hours=12)


def test_a_sign_in_is_its_user_s_until_it_ends(database: Database) -> None:
    with database.write() as session:
        qa, admin = enlist(session, Role.QA).id, enlist(session, Role.ADMIN).id
        first, second = open_sign_in(session, qa, LONGEST), open_sign_in(session, qa, LONGEST)
        session.flush()
        assert first != second
        assert [is_open(session, token, qa) for token in (first, second, "", "x")] == [True, True, False, False]
        assert not is_open(session, first, admin)
        end_sign_in(session, first)
        assert [is_open(session, token, qa) for token in (first, second)] == [False, True]
        assert second not in session.scalars(select(SignIn.token_sha256)).all()


def test_old_ones_are_forgotten(database: Database) -> None:
    with database.write() as session:
        qa = enlist(session, Role.QA).id
        old = open_sign_in(session, qa, LONGEST)
        session.flush()
        session.execute(update(SignIn).values(opened_at=now() - LONGEST - timedelta(minutes=1)))
        open_sign_in(session, qa, LONGEST)
        assert not is_open(session, old, qa)
