from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from retrieval.data.manifest import ImageRow, Split
from retrieval.data.source import Found, LeftOut
from retrieval.data.usable import SAME_PATIENT, TWO_PATIENTS, usable


def image(path: Path, patient: str, seed: int, side: int = 64) -> ImageRow:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side)).astype(np.uint8)
    cv2.imwrite(str(path), pixels)
    return ImageRow(path, path.name, "site", patient, Split.TRAIN, "", "")


def test_what_cannot_be_used_is_left_out_with_its_reason(tmp_path: Path) -> None:
    good = image(tmp_path / "good.png", "A", 1)
    torn, gone, small = (image(tmp_path / name, "A", 2) for name in ("torn.png", "gone.png", "small.png"))
    torn.path.write_bytes(torn.path.read_bytes()[:20])
    gone.path.unlink()
    cv2.imwrite(str(small.path), np.arange(100, dtype=np.uint8).reshape(10, 10))
    blank = image(tmp_path / "blank.png", "A", 3)
    cv2.imwrite(str(blank.path), np.full((64, 64), 7, np.uint8))
    earlier = LeftOut("lateral.png", "it is a lateral view")
    found = usable(Found((good, torn, gone, small, blank), (earlier,)), quiet=True)
    assert found.rows == (good,)
    assert found.left_out == (
        earlier,
        LeftOut("torn.png", "it cannot be read", broken=True),
        LeftOut("gone.png", "the file is missing", broken=True),
        LeftOut("small.png", "a side is shorter than 64 pixels", broken=True),
        LeftOut("blank.png", "it is blank", broken=True),
    )


def test_pixels_under_two_patients_are_left_out_both_times_and_repetitions_but_once(tmp_path: Path) -> None:
    rows = tuple(
        image(tmp_path / f"{number}.png", patient, seed)
        for number, (patient, seed) in enumerate([("A", 1), ("A", 1), ("A", 2), ("B", 2), ("B", 3)])
    )
    found = usable(Found(rows), quiet=True)
    assert found.rows == (rows[0], rows[4])
    assert [(one.name, one.reason) for one in found.left_out] == [
        ("1.png", SAME_PATIENT),
        ("2.png", TWO_PATIENTS),
        ("3.png", TWO_PATIENTS),
    ]
