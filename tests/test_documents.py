"""What the documents say about the code, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archive.states import AUDIT_KINDS, AlertKind
from cli.main import SUMMARIES
from config.settings import Settings, load_settings
from dicom_node.conformance import DocumentUnusable, updated
from dicom_node.status import CommitFailure, CommitStatus, StoreStatus

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONFORMANCE = (ROOT / "docs" / "conformance.md").read_text()
OPERATION = (ROOT / "docs" / "operation.md").read_text()
PACS = (ROOT / "docs" / "pacs.md").read_text()


def test_the_tables_of_the_conformance_statement_are_those_of_the_code() -> None:
    assert updated(CONFORMANCE) == CONFORMANCE, "run: python -m dicom_node.conformance docs/conformance.md"


def test_a_document_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(DocumentUnusable, match="accepted SOP classes"):
        updated(CONFORMANCE.replace("<!-- accepted SOP classes", "<!-- something else"))


def test_every_code_has_its_meaning() -> None:
    kinds = (StoreStatus, CommitStatus, CommitFailure)
    assert all(code.meaning and code.when for kind in kinds for code in kind)
    assert StoreStatus(0xA700) is StoreStatus.OUT_OF_RESOURCES


def test_the_readme_explains_every_status_that_a_listed_sender_gets() -> None:
    named = {int(status, 16) for status in re.findall(r"^\| `0x([0-9A-F]{4})`", README, re.MULTILINE)}
    assert named == set(StoreStatus) - {StoreStatus.CLASS_NOT_SUPPORTED, StoreStatus.NOT_AUTHORIZED}


def test_every_command_that_is_named_exists() -> None:
    named = set(re.findall(r"lungprint ([a-z][a-z-]+)", README + OPERATION + PACS))
    assert named <= set(SUMMARIES)
    assert {"up", "status", "alerts", "backfill", "compare", "similar", "encode", "user", "config"} <= named


def test_every_kind_of_alert_is_explained() -> None:
    assert all(str(kind.finding).replace("_", " ") in README for kind in AlertKind)
    audit = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    assert all(f"`{kind}`" in audit for kind in AUDIT_KINDS)


def test_every_option_that_is_named_exists(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={})
    sections = "|".join(Settings.model_fields)
    named = re.findall(rf"`({sections})\.(\w+)\b", README + OPERATION + CONFORMANCE + PACS)
    assert len(named) >= 8
    assert [f"{s}.{o}" for s, o in named if not hasattr(getattr(settings, s), o)] == []
