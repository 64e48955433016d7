from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.data.listing import read_listing
from retrieval.data.manifest import Split
from retrieval.data.splits import Splits
from retrieval.errors import ManifestInvalid


def write(folder: Path, text: str) -> Path:
    (folder / "list.csv").write_text(text, encoding="utf-8")
    return folder / "list.csv"


def test_file_and_patient_are_enough(tmp_path: Path) -> None:
    (row,) = read_listing(write(tmp_path, "patient,file\nP1,a/1.png\n"), Splits(0, 1, 0), "ward").rows
    assert (row.path, row.patient, row.dataset) == (tmp_path / "a/1.png", "P1", "ward")
    assert (row.split, row.finding, row.view, row.sex, row.age, row.day) == (Split.VAL, "", "", "", None, None)


def test_what_a_manifest_says_is_kept(tmp_path: Path) -> None:
    text = "file,dataset,patient,split,finding,view,sex,age,day\n1.png,covid,c:1,test,COVID-19,AP,F,73,19\n"
    (row,) = read_listing(write(tmp_path, text), Splits(1, 0, 0), "ward").rows
    assert (row.dataset, row.split, row.finding, row.view) == ("covid", Split.TEST, "COVID-19", "AP")
    assert (row.sex, row.age, row.day) == ("F", 73, 19)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file\n1.png\n", "patient"),
        ("file,patient\n1.png,\n", "every row"),
        ("file,patient\n1.png,P1\n1.png,P2\n", "twice"),
        ("file,patient,split\n1.png,P1,train\n2.png,P2,\n", "for all of them or for none"),
        ("file,patient,split\n1.png,P1,train\n2.png,P1,test\n", "second split"),
        ("file,patient,split\n1.png,P1,holdout\n", "holdout"),
        ("file,patient,age\n1.png,P1,old\n", "old"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ManifestInvalid, match=said):
        read_listing(write(tmp_path, text), Splits(), "ward")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00file")
    with pytest.raises(ManifestInvalid, match="CSV"):
        read_listing(tmp_path / "list.csv", Splits(), "ward")
