"""Which processes a system has, by its options."""

from __future__ import annotations

import pytest

from config.paths import DataDir
from config.settings import Settings, load_settings
from tests.ports import free_port
from workers.processes import commands
from workers.readiness import checks
from workers.supervisor import STOP_ORDER


def test_hl7_messages_are_taken_where_a_port_is_set(settings: Settings, folder: DataDir) -> None:
    assert "hl7" not in commands(settings, folder)
    assert "hl7" not in checks(settings, folder, 1, 2)
    configured = load_settings(folder.root, environ={}, flags={"hl7": {"port": free_port()}})
    assert commands(configured, folder)["hl7"].arguments[-1] == "dicom_node.hl7_listener"
    assert not checks(configured, folder, 1, 2)["hl7"](0)


def test_matching_uses_one_thread_unless_told_otherwise(
    settings: Settings, folder: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = commands(settings, folder)
    assert found["match"].environ["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in found["encode"].environ
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert commands(settings, folder)["match"].environ["OMP_NUM_THREADS"] == "3"


def test_every_process_has_its_turn_when_the_system_stops(folder: DataDir) -> None:
    configured = load_settings(folder.root, environ={}, flags={"hl7": {"port": 2575}})
    assert {name for group in STOP_ORDER for name in group} == set(commands(configured, folder))
