"""What the documents say about the code, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archive.states import AUDIT_KINDS, AlertKind
from cli.main import SUMMARIES
from config.settings import Settings, load_settings
from dicom_node.services import STORAGE_CLASSES, TRANSFER_SYNTAXES, VERIFICATION
from dicom_node.status import StoreStatus

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONFORMANCE = (ROOT / "docs" / "conformance.md").read_text()
OPERATION = (ROOT / "docs" / "operation.md").read_text()


def column(text: str, heading: str) -> list[str]:
    """UIDs in the table below a heading."""
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"\| (1\.2\.840[\d.]+) \|", section)


def test_the_conformance_statement_lists_exactly_what_is_accepted() -> None:
    assert column(CONFORMANCE, "Services") == [VERIFICATION, *STORAGE_CLASSES]
    assert column(CONFORMANCE, "Transfer syntaxes") == list(TRANSFER_SYNTAXES)


@pytest.mark.parametrize("text", [CONFORMANCE, README], ids=["conformance", "README"])
def test_every_status_is_explained_and_no_other(text: str) -> None:
    named = {int(status, 16) for status in re.findall(r"^\| `0x([0-9A-F]{4})`", text, re.MULTILINE)}
    # Other classes are refused when the association is opened; only a backfill, which has none, gives this status.
    assert named == set(StoreStatus) - {StoreStatus.CLASS_NOT_SUPPORTED}


def test_every_command_that_is_named_exists() -> None:
    named = set(re.findall(r"lungprint ([a-z][a-z-]+)", README + OPERATION))
    assert named <= set(SUMMARIES)
    assert {"up", "status", "alerts", "backfill", "compare", "similar", "encode", "user", "config"} <= named


def test_every_kind_of_alert_is_explained() -> None:
    assert all(str(kind.finding).replace("_", " ") in README for kind in AlertKind)
    audit = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    assert all(f"`{kind}`" in audit for kind in AUDIT_KINDS)


def test_every_option_that_is_named_exists(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={})
    sections = "|".join(Settings.model_fields)
    named = re.findall(rf"`({sections})\.(\w+)\b", README + OPERATION + CONFORMANCE)
    assert len(named) >= 8
    assert [f"{s}.{o}" for s, o in named if not hasattr(getattr(settings, s), o)] == []
