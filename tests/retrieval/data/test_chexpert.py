from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.data.chexpert import read_chexpert
from retrieval.data.splits import Splits
from retrieval.errors import ManifestInvalid

HEADING = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema,Pneumonia,Support Devices\n"
PREFIX = "CheXpert-v1.0-small/train/patient00001"
ROWS = (
    f"{PREFIX}/study1/view1_frontal.jpg,Female,68,Frontal,AP,,1.0,-1.0,1.0\n"
    f"{PREFIX}/study1/view2_lateral.jpg,Female,68,Lateral,,,1.0,-1.0,1.0\n"
    f"{PREFIX}/study2/view1_frontal.jpg,Female,69,Frontal,PA,1.0,,,1.0\n"
    "CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.jpg,Unknown,0,Frontal,AP,,0.0,1.0,\n"
)


def table(folder: Path, rows: str = ROWS, name: str = "train.csv") -> Path:
    path = folder / name
    path.write_text(HEADING + rows, encoding="utf-8")
    return path


def test_frontal_images_are_described_and_lateral_ones_left_out(tmp_path: Path) -> None:
    found = read_chexpert((table(tmp_path),), Splits())
    first, second, third = found.rows
    assert first.path == tmp_path / "train" / "patient00001" / "study1" / "view1_frontal.jpg"
    assert (first.patient, first.view, first.sex, first.age, first.day) == ("chexpert:00001", "AP", "F", 68, 1)
    assert (second.view, second.day) == ("PA", 2)
    assert (third.sex, third.age) == ("", None)
    assert [one.name for one in found.left_out] == [f"{PREFIX}/study1/view2_lateral.jpg"]


def test_only_findings_marked_present_are_named(tmp_path: Path) -> None:
    rows = read_chexpert((table(tmp_path),), Splits()).rows
    assert [row.finding for row in rows] == ["Edema|Support Devices", "No Finding|Support Devices", "Pneumonia"]


def test_lateral_images_come_when_asked_for(tmp_path: Path) -> None:
    found = read_chexpert((table(tmp_path),), Splits(), lateral=True)
    assert [row.view for row in found.rows] == ["AP", "L", "PA", "AP"]
    assert found.left_out == ()


def test_several_tables_are_one_source(tmp_path: Path) -> None:
    valid = table(tmp_path, ROWS.replace("train", "valid").replace("patient0", "patient6"), "valid.csv")
    rows = read_chexpert((table(tmp_path), valid), Splits()).rows
    assert len({row.path for row in rows}) == 6
    assert len({row.patient for row in rows}) == 4


@pytest.mark.parametrize("row", ["elsewhere.jpg,Female,68,Frontal,AP,,,,\n", ROWS.replace("68", "old")])
def test_rows_of_another_form_are_refused(tmp_path: Path, row: str) -> None:
    with pytest.raises(ManifestInvalid, match="CheXpert"):
        read_chexpert((table(tmp_path, row),), Splits())
