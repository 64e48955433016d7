"""Images on the command line: manifests, folders and files of any kind, within limits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cli.outcome import InputNotUsable
from cli.sources import find_sources, is_dicom, read_image
from dicom_node.pixels import Limits
from dicom_node.wrap import PatientHeader, StudyHeader, View, digital_xray


def ramp(depth: int = 8) -> NDArray[np.generic]:
    """Dark at the left, bright at the right."""
    top = (1 << depth) - 1
    row = np.linspace(0, top, 64).round()
    return np.tile(row, (48, 1)).astype(np.uint8 if depth == 8 else np.uint16)


def write_picture(path: Path, depth: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), ramp(depth))
    return path


def write_dicom(path: Path, view: View = View.PA) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = digital_xray(
        ramp().astype(np.uint8),
        patient=PatientHeader(patient_id="P1"),
        study=StudyHeader(taken=datetime(2024, 1, 1)),
        view=view,
    )
    image.save_as(path, enforce_file_format=True)
    return path


def test_a_folder_gives_pictures_by_suffix_and_dicom_by_content(tmp_path: Path) -> None:
    write_picture(tmp_path / "b.png")
    write_dicom(tmp_path / "deep" / "no_suffix")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / ".hidden.png").write_bytes(b"")
    assert [source.name for source in find_sources(tmp_path)] == ["b.png", "deep/no_suffix"]


def test_a_manifest_names_files_relative_to_its_own_folder(tmp_path: Path) -> None:
    write_picture(tmp_path / "set" / "a.png")
    (tmp_path / "set" / "manifest.csv").write_text("file,patient\na.png,P1\n")
    (source,) = find_sources(tmp_path / "set" / "manifest.csv")
    assert (source.name, source.path, source.columns["patient"]) == ("a.png", tmp_path / "set" / "a.png", "P1")


@pytest.mark.parametrize("content", ["path,patient\na.png,P1\n", "file\n", "", "file,patient\n,P1\n"])
def test_a_manifest_without_files_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(InputNotUsable):
        find_sources(tmp_path / "manifest.csv")


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x00file")
    with pytest.raises(InputNotUsable, match="CSV"):
        find_sources(tmp_path / "manifest.csv")


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputNotUsable, match="does not exist"):
        find_sources(tmp_path / "nothing")
    with pytest.raises(InputNotUsable, match="no images"):
        find_sources(tmp_path)


@pytest.mark.parametrize(("name", "depth"), [("a.png", 8), ("a.png", 16), ("a.jpg", 8)])
def test_pictures_of_any_depth_span_zero_to_one(tmp_path: Path, name: str, depth: int) -> None:
    gray = read_image(write_picture(tmp_path / name, depth), Limits()).gray
    assert gray.dtype == np.float32
    assert gray.shape == (48, 64)
    assert gray[:, 0].max() < 0.02
    assert gray[:, -1].min() > 0.98


def test_a_dicom_file_is_decoded_whatever_its_name(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "named.jpg")
    assert is_dicom(path)
    assert read_image(path, Limits()).gray.shape == (48, 64)


def test_a_header_that_says_lateral_is_believed(tmp_path: Path) -> None:
    assert read_image(write_dicom(tmp_path / "pa"), Limits()).unsuitable == ""
    assert "lateral" in read_image(write_dicom(tmp_path / "ll", View.LL), Limits()).unsuitable


@pytest.mark.parametrize("write", [write_picture, write_dicom])
def test_an_image_larger_than_the_limit_is_not_decoded(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path / "a.png")
    with pytest.raises(InputNotUsable, match=r"pixels|limit"):
        read_image(path, Limits(max_pixels=1000))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.dcm"])
def test_a_broken_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"broken" * 10)
    with pytest.raises(InputNotUsable, match=name):
        read_image(tmp_path / name, Limits())
