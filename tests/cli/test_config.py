"""`lungprint config`: values with their origin, secrets never, and an option file to start from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.config import command, masked
from config.errors import ConfigurationError
from config.settings import load_settings, shipped_options


def show(folder: Path, *arguments: str, **environ: str) -> dict[str, dict[str, dict[str, object]]]:
    done = CliRunner().invoke(command, ["show", "--json", "--data-dir", str(folder), *arguments], env=environ)
    assert done.exit_code == 0, done.output
    found: dict[str, dict[str, dict[str, object]]] = json.loads(done.stdout)
    return found


def test_every_option_is_shown_with_its_origin(tmp_path: Path) -> None:
    (tmp_path / "lungprint.toml").write_text("[dicom]\nport = 104\n")
    found = show(tmp_path, LUNGPRINT_LOG_LEVEL="error")
    assert found["dicom"]["port"] == {"value": 104, "origin": str(tmp_path / "lungprint.toml")}
    assert found["log"]["level"] == {"value": "error", "origin": "the environment"}
    assert found["web"]["port"] == {"value": 8080, "origin": "the defaults"}
    shown = {section: set(options) for section, options in found.items()}
    settings = load_settings(tmp_path, environ={})
    assert shown == {section: set(getattr(settings, section).model_dump()) for section in shown}


def test_only_what_was_changed(tmp_path: Path) -> None:
    assert show(tmp_path, "--changed", LUNGPRINT_LOG_LEVEL="error") == {
        "log": {"level": {"value": "error", "origin": "the environment"}}
    }


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    environ = {
        "LUNGPRINT_DATABASE_URL": "postgresql+psycopg://lp:hunter2@db/lungprint",
        "LUNGPRINT_REDIS_URL": "redis://:hunter2@queue:6379/0",
        "LUNGPRINT_NOTIFY_WEBHOOK_SECRET": "hunter2",
        "LUNGPRINT_EMAIL_PASSWORD": "hunter2",
        "LUNGPRINT_NOTIFY_WEBHOOK_URL": "https://chat.example/services/hunter2",
    }
    for arguments in (["show"], ["show", "--json"]):
        done = CliRunner().invoke(command, [*arguments, "--data-dir", str(tmp_path)], env=environ)
        assert done.exit_code == 0
        assert "hunter2" not in done.output
        assert "chat.example" in done.output
        assert "@db/lungprint" in done.output


@pytest.mark.parametrize(
    "url", ["redis://:p@ss@host/0", "redis://u:p:w@host/0", "postgresql://u:p%40w@host/db", "redis://u:pw@h:1/0"]
)
def test_a_password_with_odd_characters_is_masked_whole(url: str) -> None:
    shown = masked("redis", "url", url)
    assert "p" not in shown.partition("://")[2].partition("@")[0]
    assert "*" in shown


def test_the_table_has_a_line_for_each_option(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["show", "--data-dir", str(tmp_path)])
    assert "dicom.ae_title" in done.output
    assert "LUNGPRINT" in done.output


def test_write_makes_a_private_file_that_loads(tmp_path: Path) -> None:
    target = tmp_path / "data" / "lungprint.toml"
    done = CliRunner().invoke(command, ["write", "--data-dir", str(target.parent)])
    assert done.exit_code == 0
    assert target.read_text() == shipped_options()
    assert target.stat().st_mode & 0o777 == 0o600
    assert load_settings(target.parent, environ={}) == load_settings(tmp_path, environ={})


def test_write_never_replaces_a_file_unasked(tmp_path: Path) -> None:
    target = tmp_path / "lungprint.toml"
    target.write_text("[web]\nport = 1\n")
    done = CliRunner().invoke(command, ["write", "--data-dir", str(tmp_path)])
    assert getattr(done.exception, "exit_code", None) == 2
    assert "--force" in str(done.exception)
    assert target.read_text() == "[web]\nport = 1\n"
    assert CliRunner().invoke(command, ["write", "--force", "--data-dir", str(tmp_path)]).exit_code == 0
    assert target.read_text() == shipped_options()


def test_a_wrong_option_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["show", "--data-dir", str(tmp_path)], env={"LUNGPRINT_WEB_PROT": "1"})
    assert isinstance(done.exception, ConfigurationError)
    assert "LUNGPRINT_WEB_PROT" in str(done.exception)
