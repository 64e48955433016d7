from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.data.manifest import Split
from retrieval.data.nih import read_nih
from retrieval.data.splits import Splits
from retrieval.errors import ManifestInvalid

TABLE = """\
Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,OriginalImage[Width,Height],\
OriginalImagePixelSpacing[x,y],
00000001_000.png,Cardiomegaly|Pneumonia,0,1,058Y,M,PA,2682,2749,0.143,0.143,
00000001_001.png,No Finding,1,1,59,M,AP,2682,2749,0.143,0.143,
00000002_000.png,Effusion,0,2,414,F,PA,2682,2749,0.143,0.143,
00000003_000.png,Effusion,0,3,40,F,PA,2682,2749,0.143,0.143,
"""


def lay_out(folder: Path, table: str = TABLE) -> Path:
    for place in (
        "images/00000001_000.png",
        "images_001/images/00000001_001.png",
        "images_012/images/00000002_000.png",
    ):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).touch()
    (folder / "Data_Entry_2017.csv").write_text(table, encoding="utf-8")
    return folder / "Data_Entry_2017.csv"


def test_images_are_found_in_all_folders_and_described(tmp_path: Path) -> None:
    found = read_nih(lay_out(tmp_path), Splits())
    first, second, third = found.rows
    assert [row.path for row in (first, second)] == [
        tmp_path / "images" / "00000001_000.png",
        tmp_path / "images_001" / "images" / "00000001_001.png",
    ]
    assert (first.patient, first.finding, first.view, first.sex) == ("nih:1", "Cardiomegaly|Pneumonia", "PA", "M")
    assert [(row.age, row.day) for row in found.rows] == [(58, 0), (59, 1), (None, 0)]
    assert (third.dataset, third.patient) == ("nih", "nih:2")


def test_images_that_are_not_there_are_left_out_and_named(tmp_path: Path) -> None:
    (left_out,) = read_nih(lay_out(tmp_path), Splits()).left_out
    assert left_out.name == "00000003_000.png"
    assert not left_out.broken


def test_patients_are_dealt_as_asked(tmp_path: Path) -> None:
    rows = read_nih(lay_out(tmp_path), Splits(0, 0, 1)).rows
    assert {row.split for row in rows} == {Split.TEST}


@pytest.mark.parametrize(("wrong", "right"), [("058Y", "old"), ("Patient ID", "Patient"), (",0,1,058Y", ",x,1,058Y")])
def test_another_table_is_refused(tmp_path: Path, wrong: str, right: str) -> None:
    with pytest.raises(ManifestInvalid):
        read_nih(lay_out(tmp_path, TABLE.replace(wrong, right)), Splits())
