from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
from rich.console import Console

from retrieval.evaluation.protocol import evaluate
from retrieval.evaluation.report import CalibrationFigures, GateFigures, Report, show, write


def report() -> Report:
    patients = [f"p{i // 2}" for i in range(12)]
    similarity = np.array([[float(a == b) for b in patients] for a in patients])
    figures = evaluate("nih", "embedding", similarity, patients, [""] * 12)
    return Report(
        "abc123", "test", (figures,), (GateFigures("nih", 12, 0.75),), (CalibrationFigures("nih", 66, 0.04, 0.09),)
    )


def test_written_table_says_what_was_measured_where(tmp_path: Path) -> None:
    write(report(), tmp_path)
    with (tmp_path / "recognition.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["auc"] == "1.0000"
    assert rows[0]["model_id"] == "abc123"
    assert rows[0]["torch"]
    stored = json.loads((tmp_path / "recognition.json").read_text(encoding="utf-8"))
    assert stored["gate"][0]["suitable"] == 0.75
    assert stored["calibration"][0]["brier"] == 0.09


def test_shown_tables_hold_every_part() -> None:
    console = Console(file=io.StringIO(), width=160)
    show(report(), console)
    shown = console.file.getvalue()
    assert "embedding" in shown
    assert "0.750" in shown
    assert "0.090" in shown
