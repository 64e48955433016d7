"""A process begins with the system that the environment names, or says in one sentence why it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import program
from config.errors import LungprintError
from config.paths import DataDir
from config.program import REFUSED, VARIABLE, run, system_folder
from config.settings import Settings


@pytest.fixture(autouse=True)
def _log_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "start_logging", lambda _: None)


def test_it_serves_the_system_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[str] = []
    served: list[tuple[Settings, DataDir]] = []
    (tmp_path / "lungprint.toml").write_text('[log]\nlevel = "warning"\n')
    monkeypatch.setattr(program, "start_logging", levels.append)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert run(lambda settings, folder: served.append((settings, folder))) == 0
    [(settings, folder)] = served
    assert levels == [settings.log.level] == ["warning"]
    assert folder == system_folder() and folder.root == tmp_path


@pytest.mark.parametrize("options", [None, "[log]\nlevel = 7\n"])
def test_what_it_cannot_use_is_one_sentence(
    options: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if options is not None:
        monkeypatch.setenv(VARIABLE, str(tmp_path))
        (tmp_path / "lungprint.toml").write_text(options)
    assert run(lambda *_: pytest.fail("it was served")) == REFUSED
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and (VARIABLE if options is None else "log.level") in said


def test_what_stops_it_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(*_: object) -> None:
        raise LungprintError("The port is taken.")

    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert (run(serve), capsys.readouterr().err) == (REFUSED, "The port is taken.\n")
