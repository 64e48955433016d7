"""`lungprint evaluate` from the manifest to the report, on synthetic persons."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.main import lungprint
from retrieval import phantom

PICTURES = ("roc.png", "hits.png", "histograms.png", "reliability.png", "worst.png", "shortcuts.png")
HEADING = ("file", "dataset", "patient", "split", "finding", "view", "sex", "age", "day")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six persons with two images each in two datasets, one lateral view, one person of another split."""
    folder = tmp_path_factory.mktemp("persons")
    rows = []
    for person in range(7):
        drawn = phantom.random_person(np.random.default_rng(person))
        for exam in range(2):
            name = f"secret{person}-{exam}.png"
            tones = phantom.render(drawn, phantom.random_exam(np.random.default_rng([person, exam])), 192)
            cv2.imwrite(str(folder / name), np.rint(tones * 255).astype(np.uint8))
            split = "train" if person == 6 else "test"
            finding = "pneumonia" if person % 2 else "no_finding"
            rows.append((name, "ab"[person % 2], f"SECRET{person}", split, finding, "", "F", 40 + person, exam * 30))
    rows.append((rows[0][0], "a", "SECRET0", "test", "", "L", "", "", ""))
    path = folder / "manifest.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([HEADING, *rows])
    return path


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(lungprint, ["evaluate", *map(str, arguments)], catch_exceptions=True)


@pytest.fixture(scope="module")
def done(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """One run with everything that takes no further weights."""
    folder = tmp_path_factory.mktemp("report")
    pairs = folder / "pairs.csv"
    listed = [(f"secret{i}-0.png", f"secret{j}-1.png", int(i == j)) for i in range(6) for j in range(6)]
    with pairs.open("w", newline="") as stream:
        csv.writer(stream).writerows([("file_a", "file_b", "same"), *listed])
    output = folder / "out"
    result = evaluate("--data", manifest, "-o", output, "--shortcuts", "--pairs", pairs, "--rounds", 20)
    return result, output


def test_the_folder_holds_figures_pictures_and_the_report_that_shows_them(done: tuple[Result, Path]) -> None:
    result, output = done
    assert result.exit_code == 0, result.output
    tables = ("recognition.csv", "recognition.json", "recognition-shortcuts.csv", "worst_pairs.csv", "report.md")
    assert {path.name for path in output.iterdir()} == {*tables, *PICTURES}
    report = (output / "report.md").read_text(encoding="utf-8")
    assert all(f"]({picture})" in report for picture in PICTURES)
    assert "What would make these figures wrong in a hospital" in report
    assert "report.md" in result.output


def test_every_method_is_reported_for_each_dataset_and_together(done: tuple[Result, Path]) -> None:
    with (done[1] / "recognition.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["dataset"] for row in rows} == {"a", "b", "all"}
    methods = {row["method"] for row in rows if row["dataset"] == "all"}
    assert {"embedding", "pHash", "pixels 32x32"} < methods
    (together,) = [row for row in rows if (row["dataset"], row["method"]) == ("all", "embedding")]
    assert (together["images"], together["patients"], together["queries"]) == ("12", "6", "12")
    # Pairs of two persons within a dataset: 2 · (3 pairs of persons · 4); none across.
    assert (together["same_pairs"], together["different_pairs"]) == ("6", "24")
    assert 0.0 <= float(together["auc"]) <= 1.0


def test_other_parts_are_in_the_json(done: tuple[Result, Path]) -> None:
    stored = json.loads((done[1] / "recognition.json").read_text(encoding="utf-8"))
    assert {row["dataset"]: row["images"] for row in stored["gate"]} == {"a": 7, "b": 6}
    assert {row["method"] for row in stored["findings"]} >= {"findings half of the code", "whole code", "chance"}
    assert (stored["pairs"][0]["same_pairs"], stored["pairs"][0]["different_pairs"]) == (6, 30)
    assert len({row["change"] for row in stored["shortcuts"]}) == 8


def test_nothing_written_names_a_patient_or_a_file(done: tuple[Result, Path]) -> None:
    result, output = done
    for path in output.iterdir():
        assert "secret" not in path.name.lower()
        if path.suffix != ".png":
            assert "secret" not in path.read_text(encoding="utf-8").lower()
    assert "secret" not in result.output.lower()


def test_worst_pairs_lead_back_to_rows_of_the_manifest(done: tuple[Result, Path], manifest: Path) -> None:
    with manifest.open(newline="") as stream:
        listed = list(csv.DictReader(stream))
    with (done[1] / "worst_pairs.csv").open(newline="", encoding="utf-8") as stream:
        pairs = list(csv.DictReader(stream))
    assert pairs
    for pair in pairs:
        a, b = (listed[int(pair[key]) - 1] for key in ("row_a", "row_b"))
        assert (a["patient"] == b["patient"]) == (pair["same"] == "1")
        assert a["dataset"] == b["dataset"] == pair["dataset"]
        assert a["split"] == b["split"] == "test"


def test_a_cache_spares_the_second_run_the_encoding_and_changes_nothing(manifest: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = evaluate("--data", manifest, "-o", tmp_path / "1", "--cache", cache, "--rounds", 20, "--against", "default")
    assert first.exit_code == 0, first.output
    stored = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert sum(name.startswith("codes-") for name in stored) == 1
    evaluate("--data", manifest, "-o", tmp_path / "2", "--cache", cache, "--rounds", 20, "--against", "default")
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == stored
    assert (tmp_path / "1" / "recognition.csv").read_text() == (tmp_path / "2" / "recognition.csv").read_text()


@pytest.mark.parametrize(("options", "patients"), [((), 5), (("--doubtful",), 6)])
def test_numbers_that_cannot_be_taken_for_one_person_are_compared_only_if_wanted(
    manifest: Path, tmp_path: Path, options: tuple[str, ...], patients: int
) -> None:
    doubted = manifest.parent / "doubted.csv"
    doubted.write_text(manifest.read_text().replace("SECRET1", "kermany:IM-0001"))
    done = evaluate("--data", doubted, "-o", tmp_path, "--rounds", 20, *options)
    assert done.exit_code == 0, done.output
    with (tmp_path / "recognition.csv").open(newline="", encoding="utf-8") as stream:
        found = {row["patients"] for row in csv.DictReader(stream) if row["dataset"] == "all"}
    assert found == {str(patients)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--split", "val"), "no frontal image in its split 'val'"),
        (("--weights", "nosuch"), "There are no weights 'nosuch'"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_sentence(
    manifest: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = evaluate("--data", manifest, "-o", tmp_path / "out", *arguments)
    assert result.exit_code != 0
    assert said in str(result.exception)


def test_an_output_that_is_a_file_is_wrong_usage(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    result = evaluate("--data", manifest, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_help_does_not_wait_for_torch_or_matplotlib() -> None:
    ask = "cli.main.lungprint(['evaluate', '--help'], standalone_mode=False)"
    code = f"import sys, cli.main; {ask}; print(sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert "'torch'" not in said
    assert "'matplotlib'" not in said
