"""Accounts of the dashboard."""

from __future__ import annotations

import time

import pytest

from archive.database import Database
from archive.states import Role
from archive.users import (
    LastAdmin,
    NoSuchUser,
    PasswordUnusable,
    UserExists,
    UserNameUnusable,
    create_user,
    ensure_first_admin,
    list_users,
    set_disabled,
    set_password,
    verify,
)

PASSWORD = "correct horse battery"


def test_created_user_signs_in_with_any_case_of_the_name(database: Database) -> None:
    with database.write() as session:
        create_user(session, " Анна.K ", PASSWORD, Role.QA)
    with database.read() as session:
        user = verify(session, "АННА.k", PASSWORD)
        assert user is not None
        assert (user.name, user.role) == ("анна.k", Role.QA)
        assert PASSWORD not in user.password_hash
        assert user.password_hash.startswith("$argon2id$")


def test_wrong_password_unknown_name_and_disabled_user_look_alike(database: Database) -> None:
    with database.write() as session:
        create_user(session, "anna", PASSWORD, Role.QA)
        create_user(session, "boris", PASSWORD, Role.QA)
        set_disabled(session, "boris")
    with database.read() as session:
        verify(session, "nobody", "first call makes the stand-in hash")
        spent = {}
        for name, password in (("anna", "wrong wrong wrong"), ("nobody", PASSWORD), ("boris", PASSWORD)):
            start = time.process_time()
            assert verify(session, name, password) is None
            spent[name] = time.process_time() - start
    assert max(spent.values()) < 10 * min(spent.values())


def test_enabled_again_user_signs_in(database: Database) -> None:
    with database.write() as session:
        create_user(session, "anna", PASSWORD, Role.QA)
        set_disabled(session, "anna")
        set_disabled(session, "anna", disabled=False)
        assert verify(session, "anna", PASSWORD) is not None


def test_new_password_replaces_the_old_one(database: Database) -> None:
    with database.write() as session:
        create_user(session, "anna", PASSWORD, Role.QA)
        set_password(session, "anna", "another long password")
        assert verify(session, "anna", PASSWORD) is None
        assert verify(session, "anna", "another long password") is not None


@pytest.mark.parametrize("password", ["short", "elevenchars", "x" * 1025, "administrator"])
def test_unusable_password_is_refused_in_plain_words(database: Database, password: str) -> None:
    with database.write() as session, pytest.raises(PasswordUnusable, match=r"; (use|choose)"):
        create_user(session, "Administrator", password, Role.ADMIN)


@pytest.mark.parametrize("name", ["", " ", "two words", "x" * 65, "<b>", "a/b", "a\nb"])
def test_unusable_name_is_refused(database: Database, name: str) -> None:
    with database.write() as session, pytest.raises(UserNameUnusable):
        create_user(session, name, PASSWORD, Role.QA)


def test_name_is_given_once(database: Database) -> None:
    with database.write() as session:
        create_user(session, "anna", PASSWORD, Role.QA)
        with pytest.raises(UserExists):
            create_user(session, "ANNA", PASSWORD, Role.ADMIN)


def test_unknown_user_cannot_be_changed(database: Database) -> None:
    with database.write() as session, pytest.raises(NoSuchUser):
        set_disabled(session, "nobody")


def test_last_administrator_cannot_be_disabled(database: Database) -> None:
    with database.write() as session:
        create_user(session, "one", PASSWORD, Role.ADMIN)
        create_user(session, "two", PASSWORD, Role.ADMIN)
        create_user(session, "three", PASSWORD, Role.QA)
        set_disabled(session, "one")
        with pytest.raises(LastAdmin):
            set_disabled(session, "two")
        set_disabled(session, "three")


def test_first_admin_is_made_once_with_a_working_password(database: Database) -> None:
    with database.write() as session:
        made = ensure_first_admin(session)
        assert made is not None
        assert ensure_first_admin(session) is None
        user = verify(session, *made)
        assert user is not None
        assert user.role is Role.ADMIN
        assert [one.name for one in list_users(session)] == [made[0]]
