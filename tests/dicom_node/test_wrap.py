"""Wrapped images are valid DICOM by the judgement of dciodvfy, and hold what was given."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_node import wrap
from dicom_node.pixels import ViewKind, decode, header_view

PATIENT = wrap.PatientHeader(
    patient_id="LP-0001", issuer="SITE", name="Sjöberg^Ann", birth_date=datetime.date(1961, 2, 3), sex="F"
)
STUDY = wrap.StudyHeader(taken=datetime.datetime(2024, 5, 6, 7, 8, 9), accession_number="ACC-1")


def _ramp(rows: int = 60, columns: int = 50) -> np.ndarray:
    return wrap.twelve_bit(np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns))


def _build(kind: str) -> Dataset:
    eight = (_ramp(61, 51) >> 4).astype(np.uint8)
    match kind:
        case "dx 12 bit":
            return wrap.digital_xray(_ramp(), patient=PATIENT, study=STUDY)
        case "dx 8 bit monochrome1, odd length":
            return wrap.digital_xray(eight, patient=PATIENT, study=STUDY, inverted=True, view=wrap.View.AP)
        case "dx lateral":
            return wrap.digital_xray(_ramp(), patient=PATIENT, study=STUDY, view=wrap.View.LL)
        case "cr":
            return wrap.computed_radiography(_ramp(), patient=PATIENT, study=STUDY)
        case _:
            return wrap.secondary_capture(eight, patient=PATIENT, study=STUDY, view=wrap.View.PA)


KINDS = ["dx 12 bit", "dx 8 bit monochrome1, odd length", "dx lateral", "cr", "sc"]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian: dicom3tools) is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_dciodvfy_finds_no_error(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "image.dcm"
    _build(kind).save_as(file, enforce_file_format=True)
    judged = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr
    assert "Error" not in judged.stderr + judged.stdout


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian: dicom3tools) is not installed")
def test_dciodvfy_would_notice_a_missing_attribute(tmp_path: Path) -> None:
    broken = _build("dx 12 bit")
    del broken.PixelIntensityRelationship
    broken.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    judged = subprocess.run(["dciodvfy", str(tmp_path / "image.dcm")], capture_output=True, text=True, check=False)
    assert "Error" in judged.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_file_read_back_holds_demographics_and_pixels(kind: str, tmp_path: Path) -> None:
    made = _build(kind)
    made.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "image.dcm")
    assert (read.PatientID, read.IssuerOfPatientID, str(read.PatientName)) == (
        "LP-0001",
        "SITE",
        "Sjöberg^Ann",
    )
    assert (read.PatientBirthDate, read.PatientSex, read.AccessionNumber) == ("19610203", "F", "ACC-1")
    assert (read.StudyDate, read.StudyTime) == ("20240506", "070809")
    assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID == made.SOPInstanceUID
    expected = _ramp() if read.BitsStored == 12 else (_ramp(61, 51) >> 4)
    assert np.array_equal(read.pixel_array, expected)


@pytest.mark.parametrize(
    ("kind", "view"),
    [
        ("dx 12 bit", ViewKind.FRONTAL),
        ("dx lateral", ViewKind.LATERAL),
        ("cr", ViewKind.FRONTAL),
        ("sc", ViewKind.FRONTAL),
    ],
)
def test_header_tells_the_view(kind: str, view: ViewKind) -> None:
    assert header_view(_build(kind)).kind is view


def test_inverted_image_is_displayed_like_the_upright_one() -> None:
    tones = _ramp()
    plain = wrap.digital_xray(tones, patient=PATIENT, study=STUDY)
    inverted = wrap.digital_xray(4095 - tones, patient=PATIENT, study=STUDY, inverted=True)
    assert np.allclose(decode(plain).pixels, decode(inverted).pixels, atol=1e-3)


def test_jpeg_is_wrapped_with_its_own_grey_values(tmp_path: Path) -> None:
    grey = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (80, 64), dtype=np.uint8), (0, 0), 4)
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    wrapped = wrap.digital_xray(wrap.grey_image(tmp_path / "a.png"), patient=PATIENT, study=STUDY)
    assert np.array_equal(wrapped.pixel_array, grey)
    assert wrapped.BitsStored == 8


def test_uid_is_the_same_for_the_same_entropy_and_new_without() -> None:
    assert wrap.uid_from("demo", 7) == wrap.uid_from("demo", 7)
    assert wrap.uid_from("demo", 7) != wrap.uid_from("demo", 8)
    assert wrap.uid_from() != wrap.uid_from()
    for uid in (wrap.uid_from(), wrap.uid_from("demo")):
        assert pydicom.uid.UID(uid).is_valid
        assert uid.startswith("2.25.")


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), np.full((4, 4), 4096, np.uint16)],
    ids=["colour", "float", "beyond 12 bits"],
)
def test_what_cannot_be_wrapped_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(wrap.CannotWrap):
        wrap.digital_xray(pixels, patient=PATIENT, study=STUDY)


def test_impossible_headers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(wrap.CannotWrap):
        wrap.PatientHeader(patient_id="")
    with pytest.raises(wrap.CannotWrap):
        wrap.PatientHeader(patient_id="1", sex="female")
    with pytest.raises(wrap.CannotWrap):
        wrap.StudyHeader(taken=STUDY.taken, accession_number="x" * 17)
    with pytest.raises(wrap.CannotWrap):
        wrap.grey_image(tmp_path / "missing.jpg")
