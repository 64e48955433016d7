"""`lungprint user`: accounts for the dashboard, without a password ever on a command line."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from archive.database import Database
from archive.users import verify
from cli.user import command
from config.paths import DataDir

PASSWORD = "correct horse battery"


def run(folder: DataDir, *arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(folder.root)], input=stdin)


def add(folder: DataDir, name: str, role: str = "qa") -> None:
    assert run(folder, "add", name, "--role", role, "--password-stdin", stdin=f"{PASSWORD}\n").exit_code == 0


def may_sign_in(database: Database, name: str, password: str = PASSWORD) -> bool:
    with database.read() as session:
        return verify(session, name, password) is not None


def test_a_new_user_may_sign_in(folder: DataDir, database: Database) -> None:
    add(folder, "anna")
    assert may_sign_in(database, "anna")


def test_the_password_is_asked_for_twice_and_not_echoed(folder: DataDir, database: Database) -> None:
    done = run(folder, "add", "anna", "--role", "qa", stdin=f"{PASSWORD}\n{PASSWORD}\n")
    assert done.exit_code == 0
    assert PASSWORD not in done.output
    assert may_sign_in(database, "anna")


def test_no_password_is_not_an_empty_password(folder: DataDir, database: Database) -> None:
    done = run(folder, "add", "anna", "--role", "qa", "--password-stdin", stdin="")
    assert getattr(done.exception, "exit_code", None) == 2


def test_a_weak_password_is_refused(folder: DataDir, database: Database) -> None:
    done = run(folder, "add", "anna", "--role", "qa", "--password-stdin", stdin="short\n")
    assert "at least 12" in str(done.exception)
    assert json.loads(run(folder, "list", "--json").output) == []


def test_a_disabled_user_is_shut_out_and_may_come_back(folder: DataDir, database: Database) -> None:
    add(folder, "anna")
    assert run(folder, "disable", "anna").exit_code == 0
    assert not may_sign_in(database, "anna")
    assert run(folder, "enable", "anna").exit_code == 0
    assert may_sign_in(database, "anna")


def test_a_new_password_replaces_the_old_one(folder: DataDir, database: Database) -> None:
    add(folder, "anna")
    assert run(folder, "password", "anna", "--password-stdin", stdin="another horse battery\n").exit_code == 0
    assert not may_sign_in(database, "anna")
    assert may_sign_in(database, "anna", "another horse battery")


def test_the_list_shows_everybody_without_hashes(folder: DataDir, database: Database) -> None:
    add(folder, "anna")
    add(folder, "berta", "admin")
    run(folder, "disable", "anna")
    rows = json.loads(run(folder, "list", "--json").output)
    assert [(r["name"], r["role"], r["disabled"]) for r in rows] == [("anna", "qa", True), ("berta", "admin", False)]
    assert all(set(row) == {"name", "role", "disabled", "created"} for row in rows)
    assert "berta" in run(folder, "list").output


def test_nobody_can_be_disabled_who_is_not_there(folder: DataDir, database: Database) -> None:
    assert "no user" in str(run(folder, "disable", "nobody").exception)


def test_a_folder_without_a_system_is_not_turned_into_one(folder: DataDir) -> None:
    done = run(folder, "list")
    assert "no Lungprint system" in str(done.exception)
    assert not folder.database.exists()
