"""The `lungprint` command as a user meets it: help, usage errors, and errors in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.main import SUMMARIES, lungprint
from cli.outcome import ExitCode


def commands(group: click.Group, path: str = "") -> list[tuple[str, click.Command]]:
    """All commands below a group with their full names."""
    ctx = click.Context(group)
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += commands(command, f"{path}{name} ")
        else:
            found.append((f"{path}{name}", command))
    return found


ALL = commands(lungprint)


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_every_command_explains_itself_its_options_and_its_exit_codes(name: str, command: click.Command) -> None:
    done = CliRunner().invoke(lungprint, [*name.split(), "--help"])
    assert done.exit_code == 0
    assert len(command.help or "") > 20
    assert "Exit codes:" in done.output
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_help_lists_every_command_without_loading_any() -> None:
    code = "import sys, cli.main; cli.main.lungprint(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert all(name in done.stdout for name in SUMMARIES)
    assert "'torch'" not in done.stdout
    assert "'cli.up'" not in done.stdout


@pytest.mark.parametrize("name", ["compare", "similar", "encode", "demo", "backfill"])
def test_help_does_not_wait_for_torch(name: str) -> None:
    ask = f"cli.main.lungprint(['{name}', '--help'], standalone_mode=False)"
    code = f"import sys, cli.main; {ask}; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert "'torch'" not in done.stdout


def test_the_version_is_the_package_s() -> None:
    done = call("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "lungprint,")


def test_an_unknown_command_is_wrong_usage() -> None:
    done = call("statsu")
    assert done.returncode == ExitCode.USAGE
    assert "statsu" in done.stderr


def test_an_expected_error_is_one_sentence_on_standard_error(tmp_path: Path) -> None:
    done = call("status", "--data-dir", str(tmp_path))
    assert done.returncode == ExitCode.USAGE
    assert done.stdout == ""
    assert done.stderr.startswith("lungprint: There is no Lungprint system in")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_database_that_cannot_be_used_is_one_sentence_too(tmp_path: Path) -> None:
    (tmp_path / "archive.sqlite3").write_bytes(b"")
    done = call("alerts", "--data-dir", str(tmp_path))
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith("lungprint: The database cannot be used (OperationalError)")
    assert "Traceback" not in done.stderr
