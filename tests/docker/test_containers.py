"""The container files, as far as they can be tested without a container engine: schema, commands, options, users."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cli.main import lungprint
from cli.process import NAMES
from config.settings import load_settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker" / "compose.yaml"
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
OURS = ("schema", *NAMES)


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def environment() -> dict[str, str]:
    lines = (ROOT / "docker" / "lungprint.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_compose_file_follows_the_compose_specification() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [checker, "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout


def test_every_process_of_a_system_has_a_container() -> None:
    assert set(services()) == {*OURS, "redis", "postgresql"}


@pytest.mark.parametrize("name", OURS)
def test_a_container_runs_a_command_that_exists(name: str) -> None:
    command = services()[name]["command"]
    done = CliRunner().invoke(lungprint, [*command, "--help"])
    assert done.exit_code == 0, done.output
    assert command == (["migrate"] if name == "schema" else ["process", name])


@pytest.mark.parametrize("name", NAMES)
def test_no_process_starts_before_the_schema_is_there(name: str) -> None:
    assert services()[name]["depends_on"]["schema"] == {"condition": "service_completed_successfully"}


def test_there_is_one_index_owner_and_one_clock() -> None:
    assert [services()[name]["deploy"]["replicas"] for name in ("match", "beat")] == [1, 1]


def test_the_dashboard_is_not_open_to_the_network() -> None:
    assert services()["dashboard"]["ports"] == ["127.0.0.1:8080:8080"]
    assert "ports" not in services()["redis"]
    assert "ports" not in services()["postgresql"]


def test_the_example_environment_is_usable_and_holds_no_real_password(tmp_path: Path) -> None:
    given = environment()
    settings = load_settings(tmp_path, {k: v for k, v in given.items() if k.startswith("LUNGPRINT_")})
    assert settings.dicom.peers[0].ae_title == "PACS1"
    assert settings.database.url.startswith("postgresql+psycopg://lungprint:CHANGE_ME@postgresql/")
    assert {value for name, value in given.items() if name.endswith("PASSWORD")} == {"CHANGE_ME"}


def test_secrets_are_not_in_the_compose_file() -> None:
    assert "CHANGE_ME" not in COMPOSE.read_text()
    assert all(services()[name]["env_file"] == "lungprint.env" for name in (*OURS, "redis", "postgresql"))
    assert "docker/lungprint.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_image_runs_as_an_ordinary_user_and_looks_after_its_health() -> None:
    last = DOCKERFILE.split("\nFROM ")[-1]
    assert re.search(r"^USER lungprint$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert 'ENTRYPOINT ["lungprint"]' in last


def test_the_image_is_built_from_all_packages_and_nothing_private() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages <= allowed
    assert all((ROOT / name).exists() for name in allowed)
    assert not allowed & {"tests", "benchmarks", ".git", "docker"}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_both_devices_can_be_built(device: str) -> None:
    assert re.search(rf"^\s+{device}\) pip install .*torch torchvision ;;", DOCKERFILE, re.MULTILINE)


def test_variables_of_the_image_are_options(tmp_path: Path) -> None:
    variables = dict(re.findall(r"(LUNGPRINT_\w+)=(\S+)", DOCKERFILE))
    settings = load_settings(tmp_path, variables)
    assert (settings.dicom.bind_host, settings.web.host) == ("0.0.0.0", "0.0.0.0")
