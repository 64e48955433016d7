"""What is written and said about figures: tables, JSON, Markdown and the limits."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from retrieval.evaluation.facts import Facts
from retrieval.evaluation.findings_figures import CHANCE, FINDINGS_HALF, FindingsFigures
from retrieval.evaluation.limits import limits
from retrieval.evaluation.markdown import table, write_markdown
from retrieval.evaluation.protocol import evaluate
from retrieval.evaluation.report import CalibrationFigures, GateFigures, Report, share, show, spanned, write
from retrieval.evaluation.shortcuts import BOTH, ShortcutFigures

Made = Callable[..., Any]
CHANGED = ShortcutFigures(
    "nih", "border", "only a strip", False, BOTH, 12, 6, 0.5, -0.4, -0.5, -0.3, 0.1, -0.8, -0.9, -0.7
)
KNOWN = Facts("nih", 12, 6, 6, 6, 60, 0.17, 3, 0.25, 14.0, 0.5, 0.5, 0.25, 0.5, 2)


@pytest.fixture
def report(cohort: Made) -> Report:
    patients = [f"p{i // 2}" for i in range(12)]
    similarity = np.array([[float(a == b) for b in patients] for a in patients])
    figures, _ = evaluate("embedding", similarity, cohort(patients), rounds=20)
    return Report(
        "abc123",
        "weights",
        "test",
        (figures,),
        shortcuts=(CHANGED,),
        gate=(GateFigures("nih", 12, 0.75),),
        calibration=(CalibrationFigures("nih", 66, 0.24, 0.09),),
    )


def test_written_tables_say_what_was_measured_where(report: Report, tmp_path: Path) -> None:
    write(report, tmp_path)
    with (tmp_path / "recognition.csv").open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["auc"], row["tpr_at_fpr_1e4"], row["model_id"]) == ("1.0000", "", "abc123")
    assert row["torch"]
    with (tmp_path / "recognition-shortcuts.csv").open(newline="", encoding="utf-8") as stream:
        assert next(csv.DictReader(stream))["auc_change"] == "-0.4000"


def test_written_json_is_strict_and_holds_every_part(report: Report, tmp_path: Path) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    write(report, tmp_path)
    stored = json.loads((tmp_path / "recognition.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert stored["gate"][0]["suitable"] == 0.75
    assert stored["calibration"][0]["brier"] == 0.09
    assert stored["figures"][0]["tpr_at_fpr_1e4"] is None
    assert stored["shortcuts"][0]["title"] == "only a strip"


def test_the_shown_table_holds_the_headline(report: Report) -> None:
    console = Console(file=io.StringIO(), width=160)
    show(report, console)
    assert "1.000 (1.000–1.000)" in console.file.getvalue()


def test_what_cannot_be_measured_is_a_dash() -> None:
    assert share(float("nan")) == spanned(float("nan"), 0.1, 0.2) == "–"
    assert spanned(0.5, float("nan"), float("nan")) == "0.500"


def test_the_report_has_a_table_for_every_part_and_shows_the_pictures_that_are_there(
    report: Report, tmp_path: Path
) -> None:
    (tmp_path / "roc.png").write_bytes(b"")
    text = write_markdown(report, ["A limit."], tmp_path).read_text(encoding="utf-8")
    assert "](roc.png)" in text
    assert "](hits.png)" not in text
    assert "| only a strip | both | nih | 0.500 | -0.400 (-0.500 to -0.300) |" in text
    assert "- A limit." in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") == lines[0].count("|") for line in lines[:3])


def test_a_cell_cannot_break_a_table() -> None:
    assert table(("a", "b"), [("x|y", "z")]).splitlines()[-1] == "| x/y | z |"


def test_limits_follow_from_the_facts(report: Report) -> None:
    said = " ".join(limits(report, [KNOWN], ("nih",), "embedding"))
    assert "6 of 6 patients have two images or more" in said
    assert "rarer than 1 in 60" in said
    assert "25% of these are under 18" in said
    assert "14 days apart" in said
    assert "25% of the pairs of one person were taken in two views" in said
    assert "score above nine of ten pairs of one: 2." in said
    assert "an unknown share (too few pairs) in `nih`" in said
    assert "No dataset comes from elsewhere" in said
    assert "`nih` 0.24" in said
    assert "learned from.**" not in said


def test_limits_that_do_not_hold_are_not_said(report: Report) -> None:
    many = replace(KNOWN, speaking=500, half_from=200, aged=0.0, children=float("nan"), dated=0.0, close_strangers=0)
    honest = replace(report, calibration=(CalibrationFigures("nih", 66, 0.01, 0.09),))
    said = " ".join(limits(honest, [many], (), "embedding"))
    assert "two images or more" not in said
    assert "holds no ages" in said
    assert "is not known" in said
    assert "score above" not in said
    assert "calibrated probability" not in said
    assert "does not say which datasets" in said


def test_findings_that_are_found_no_better_than_by_chance_are_named(report: Report) -> None:
    def figures(dataset: str, method: str, mean: float, low: float) -> FindingsFigures:
        return FindingsFigures(dataset, method, 100, 3, mean, low, mean + 0.05, mean)

    measured = replace(
        report,
        findings=(
            figures("nih", FINDINGS_HALF, 0.77, 0.73),
            figures("nih", CHANCE, 0.52, 0.5),
            figures("covid", FINDINGS_HALF, 0.70, 0.61),
            figures("covid", CHANCE, 0.68, 0.62),
        ),
    )
    (said,) = (line for line in limits(measured, [KNOWN], ("nih",), "embedding") if "by lot" in line)
    assert said.startswith("`covid`: ")
    assert "mAP 0.610 to 0.750, chance 0.680" in said


def test_figures_of_patients_that_were_learned_from_are_called_that(report: Report) -> None:
    assert "learned from.**" in limits(replace(report, split="train"), [KNOWN], (), "embedding")[0]
    assert "flatter" in limits(replace(report, split="val"), [KNOWN], (), "embedding")[0]
