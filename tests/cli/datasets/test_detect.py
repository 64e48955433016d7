"""What a source is: told by its tables and files, and by the user where there are several."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.datasets.detect import Kind, detect
from cli.outcome import InputNotUsable
from tests.cli.test_sources import write_dicom, write_picture

NIH = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
CHEXPERT = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Pneumonia\n"
MANIFEST = "file,patient\n"


@pytest.mark.parametrize(
    ("name", "heading", "kind"),
    [
        ("manifest.csv", MANIFEST, Kind.MANIFEST),
        ("Data_Entry_2017.csv", NIH, Kind.NIH),
        ("Data_Entry_2017_v2020.csv", NIH, Kind.NIH),
        ("train.csv", CHEXPERT, Kind.CHEXPERT),
    ],
)
def test_a_folder_or_its_table_is_recognised(tmp_path: Path, name: str, heading: str, kind: Kind) -> None:
    (tmp_path / name).write_text("﻿" + heading, encoding="utf-8")
    assert detect(tmp_path) == detect(tmp_path / name) == (kind, (tmp_path / name,))


def test_a_table_may_have_any_name_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(MANIFEST)
    assert detect(tmp_path / "mine.csv")[0] is Kind.MANIFEST


def test_both_tables_of_chexpert_are_taken_and_one_of_the_nihs(tmp_path: Path) -> None:
    for name, heading in (("train.csv", CHEXPERT), ("valid.csv", CHEXPERT)):
        (tmp_path / name).write_text(heading)
    assert detect(tmp_path) == (Kind.CHEXPERT, (tmp_path / "train.csv", tmp_path / "valid.csv"))
    for name in ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv"):
        (tmp_path / name).write_text(NIH)
    assert detect(tmp_path, Kind.NIH) == (Kind.NIH, (tmp_path / "Data_Entry_2017_v2020.csv",))


def test_a_folder_with_a_dicom_file_at_any_depth_is_recognised(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "b" / "IM0001")
    assert detect(tmp_path) == (Kind.DICOM, (tmp_path,))


def test_several_sources_in_one_folder_need_a_word_from_the_user(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(MANIFEST)
    (tmp_path / "Data_Entry_2017.csv").write_text(NIH)
    with pytest.raises(InputNotUsable, match=r"manifest, nih.*--kind"):
        detect(tmp_path)
    assert detect(tmp_path, Kind.NIH)[0] is Kind.NIH


def test_dicom_files_beside_a_table_are_taken_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(MANIFEST)
    write_dicom(tmp_path / "IM0001")
    assert detect(tmp_path)[0] is Kind.MANIFEST
    assert detect(tmp_path, Kind.DICOM) == (Kind.DICOM, (tmp_path,))


def test_what_is_no_source_is_said(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    (tmp_path / "train.csv").write_text("x,y\n")
    for path in (tmp_path, tmp_path / "a.png", tmp_path / "train.csv"):
        with pytest.raises(InputNotUsable, match="no source of images"):
            detect(path)
    with pytest.raises(InputNotUsable, match="no source of kind chexpert"):
        detect(tmp_path, Kind.CHEXPERT)
