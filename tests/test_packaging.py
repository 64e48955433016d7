"""What is shipped: a package that holds all it needs, imports that go one way, and a Makefile that says what to do."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("archive", "cli", "config", "dashboard", "dicom_node", "retrieval", "workers")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# Files that only make a folder a package say nothing.
SPEAKING = [path for path in MODULES if path.read_text(encoding="utf-8").strip()]
TEXTS = sorted(
    path
    for path in [
        *MODULES,
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "docker").iterdir(),
        *(ROOT / ".ci").iterdir(),
        ROOT / "Makefile",
        ROOT / "config" / "lungprint.toml",
    ]
    if path.is_file()
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of all files in the wheel that is built from this checkout."""
    place = tmp_path_factory.mktemp("wheel")
    # A copy, because setuptools leaves a folder `build` behind, from which a later build would take deleted files.
    for package in PACKAGES:
        shutil.copytree(ROOT / package, place / "source" / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / "source")
    source = str(place / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(place), source]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(next(place.glob("*.whl"))) as opened:
        return opened.namelist()


def test_the_command_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="lungprint")
    assert callable(script.load())


def test_the_wheel_holds_every_module_and_every_file_that_code_reads(wheel: list[str]) -> None:
    assert {named(path) for path in MODULES} <= set(wheel)
    data = [
        path
        for folder in ("dashboard/templates", "dashboard/static", "retrieval/weights", "retrieval/training/configs")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    data += [ROOT / "config" / "lungprint.toml", ROOT / "archive" / "migrations" / "script.py.mako"]
    assert {named(path) for path in data} <= set(wheel)


def test_the_wheel_holds_trained_weights_with_card_and_calibration(wheel: list[str]) -> None:
    stem = "retrieval/weights/lungprint_mobilenet_v2"
    assert {f"{stem}.safetensors", f"{stem}.toml", f"{stem}.calibration.json"} <= set(wheel)


def test_the_wheel_holds_nothing_else(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert any(name.endswith("LICENSE") for name in wheel)


def test_imports_go_one_way() -> None:
    command = [Path(sys.executable).with_name("lint-imports")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SPEAKING, ids=named)
def test_a_module_says_what_it_is_for_in_one_sentence(path: Path) -> None:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert doc
    assert doc.split("\n\n")[0].rstrip()[-1] in ".:?"


@pytest.mark.parametrize("path", TEXTS, ids=named)
def test_nothing_shipped_depends_on_the_machine_it_was_written_on(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"/(?:work|opt/lp|root|home/\w+)/\S*|\.\./shared|LUNGPRINT_SHARED", text)
    allowed = {"../shared", "LUNGPRINT_SHARED"} if path.name in ("CONTRIBUTING.md", "loading.py") else set()
    assert set(found) <= allowed


def test_the_version_is_in_the_change_log_or_unreleased() -> None:
    assert (
        "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
        or PROJECT["project"]["version"] in (ROOT / "CHANGELOG.md").read_text()
    )


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/operation.md"])
def test_links_between_documents_lead_somewhere(name: str) -> None:
    document = ROOT / name
    links = re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_make_alone_explains_itself() -> None:
    done = make()
    assert done.returncode == 0
    assert all(target in done.stdout for target in ("make demo", "make test", "DATA=", "ARGS="))


def test_make_demo_hands_on_data_with_spaces_and_arguments() -> None:
    done = make("--dry-run", "demo", "DATA=my images/manifest.csv", "ARGS=--exit --images 40")
    assert done.stdout.strip().splitlines()[-1].endswith('demo --data "my images/manifest.csv" --exit --images 40')


def test_make_test_runs_every_check_before_the_tests() -> None:
    lines = make("--dry-run", "test").stdout
    order = [lines.index(word) for word in (".ci/peers", "ruff check", "mypy", "lint-imports", "bin/pytest")]
    assert order == sorted(order)


def test_make_test_installs_the_product_with_all_its_extras(tmp_path: Path) -> None:
    lines = make("--dry-run", "--always-make", "test", f"VENV={tmp_path}/venv").stdout
    assert "-e '.[dev,postgresql,train]'" in lines


def test_a_missing_python_is_said_in_one_sentence(tmp_path: Path) -> None:
    done = make("demo", f"VENV={tmp_path}/venv", "PYTHON=python3.99")
    assert done.returncode != 0
    assert "There is no python3.99 here" in done.stderr
