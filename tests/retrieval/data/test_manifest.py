from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.data.manifest import ImageRow, Split, read_manifest, write_manifest
from retrieval.errors import ManifestInvalid

HEADER = "file,dataset,patient,split,finding,view,sex\n"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "manifest.csv"
    path.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_rows_are_read_with_files_beside_the_manifest(tmp_path: Path) -> None:
    rows = read_manifest(write(tmp_path, "a/1.jpg,nih,nih:1,train,no_finding,PA,F", "b/2.jpg,covid,covid:1,test,,AP,M"))
    assert rows[0].path == tmp_path / "a/1.jpg"
    assert [row.split for row in rows] == [Split.TRAIN, Split.TEST]
    assert rows[1].view == "AP"


def test_only_the_datasets_asked_for_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "1.jpg,nih,nih:1,train,,,", "2.jpg,covid,covid:1,test,,,")
    assert [row.file for row in read_manifest(path, ["covid"])] == ["2.jpg"]


def test_patient_in_two_splits_is_refused_even_in_a_dataset_not_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "1.jpg,nih,nih:1,train,,,", "2.jpg,nih,nih:1,test,,,", "3.jpg,covid,covid:1,test,,,")
    with pytest.raises(ManifestInvalid, match="second split"):
        read_manifest(path, ["covid"])


@pytest.mark.parametrize("line", ["1.jpg,nih,nih:1,holdout,,,", "1.jpg,nih"])
def test_unknown_split_or_short_row_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ManifestInvalid):
        read_manifest(write(tmp_path, line))


def test_missing_manifest_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="cannot be read"):
        read_manifest(tmp_path / "none.csv")


def test_shared_manifest_keeps_patients_apart_and_bars_evaluation_only_sets_from_training(shared: Path) -> None:
    rows = read_manifest(shared / "data" / "manifest.csv")
    assert len(rows) > 5000
    assert {row.split for row in rows if row.dataset in ("covid", "lateral")} == {Split.TEST}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rows = (
        ImageRow(tmp_path / "set/a/1.png", "1", "ward", "w:1", Split.TRAIN, "Edema|Pneumonia", "AP", "F", 58.0, 0.0),
        ImageRow(tmp_path / "elsewhere/2.png", "2", "ward", "w:2", Split.VAL, "with, comma", "", "", None, 12.5),
    )
    write_manifest(tmp_path / "set" / "manifest.csv", rows)
    read = read_manifest(tmp_path / "set" / "manifest.csv")
    assert [row.file for row in read] == ["a/1.png", str(tmp_path / "elsewhere/2.png")]
    assert read == tuple(replace(row, file=back.file) for row, back in zip(rows, read, strict=True))
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["manifest.csv"]


def test_a_manifest_beside_its_images_may_be_moved(tmp_path: Path) -> None:
    row = ImageRow(tmp_path / "set" / "1.png", "1", "ward", "w:1", Split.TRAIN, "", "")
    write_manifest(tmp_path / "set" / "manifest.csv", [row])
    (tmp_path / "set").rename(tmp_path / "moved")
    assert read_manifest(tmp_path / "moved" / "manifest.csv")[0].path == tmp_path / "moved" / "1.png"


def test_a_patient_in_two_splits_is_not_written(tmp_path: Path) -> None:
    row = ImageRow(tmp_path / "1.png", "1", "ward", "w:1", Split.TRAIN, "", "")
    with pytest.raises(ManifestInvalid, match="second split"):
        write_manifest(tmp_path / "manifest.csv", [row, replace(row, split=Split.TEST)])
    assert list(tmp_path.iterdir()) == []
