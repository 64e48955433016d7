"""Patients that are copies of others are left out where both are, and only there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from benchmarks.copies import SAME_EXPOSURE, agreeing, features
from retrieval.data.copies import copied, without_copies
from retrieval.data.manifest import ImageRow, Split, read_manifest

ROW = ImageRow(Path("a.png"), "a.png", "covid", "covid:243", Split.TEST, "", "AP")


def test_a_copy_is_left_out_beside_its_original_whatever_the_split() -> None:
    original = dataclasses.replace(ROW, patient="hannover:6ac9bfff", split=Split.TRAIN)
    assert without_copies([ROW, original]) == (original,)
    assert without_copies([ROW]) == (ROW,)
    assert copied({"covid:243", "hannover:6ac9bfff", "nih:1"}) == {"covid:243"}


def test_every_copy_that_is_known_is_of_a_patient_in_the_data(shared: Path) -> None:
    rows = read_manifest(shared / "data" / "manifest.csv")
    gone = {row.patient for row in rows} - {row.patient for row in without_copies(rows)}
    assert len(gone) == 13 and all(patient.startswith("covid:") for patient in gone)


def test_the_same_exposure_is_told_from_another_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one, other = (cv2.GaussianBlur(rng.uniform(0, 255, (700, 640)).astype(np.float32), (0, 0), 4) for _ in range(2))
    one, other = (cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX) for picture in (one, other))
    pictures = {"one": one, "copy": cv2.resize(one[40:660, 20:600], None, fx=0.8, fy=0.8), "other": other}
    for name, picture in pictures.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture.astype(np.uint8))
    points = {name: features(tmp_path / f"{name}.png") for name in pictures}
    assert agreeing(points["one"], points["copy"]) >= SAME_EXPOSURE > agreeing(points["one"], points["other"])


def test_the_known_copies_are_found_again(shared: Path) -> None:
    data = shared / "data"
    one, copy = features(data / "covid/243/a361d7b7.jpg"), features(data / "hannover/6ac9bfff/a361d7b7.jpg")
    assert agreeing(one, copy) >= SAME_EXPOSURE
    another = features(data / "hannover/6ac9bfff/d9d6ca9a.jpg")
    assert agreeing(one, another) < SAME_EXPOSURE
