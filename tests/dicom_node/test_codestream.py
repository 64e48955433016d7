"""Sizes read from codestreams made by real encoders."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from openjpeg.utils import encode_array

from dicom_node.codestream import FrameSize, frame_size, with_sequential_scan

GREY = np.zeros((37, 53), np.uint8)


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


@pytest.mark.parametrize(
    ("codestream", "size"),
    [
        (_jpeg(GREY), FrameSize(37, 53, 1)),
        (_jpeg(np.zeros((37, 53, 3), np.uint8)), FrameSize(37, 53, 3)),
        (encode_array(GREY), FrameSize(37, 53, 1)),
        (cv2.imencode(".jp2", GREY)[1].tobytes(), FrameSize(37, 53, 1)),
    ],
    ids=["jpeg", "jpeg colour", "jpeg 2000", "jpeg 2000 in boxes"],
)
def test_size_of_real_codestreams(codestream: bytes, size: FrameSize) -> None:
    assert frame_size(codestream) == size


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 20, 100])
@pytest.mark.parametrize("whole", [_jpeg(GREY), encode_array(GREY)], ids=["jpeg", "jpeg 2000"])
def test_cut_codestream_has_no_size_or_the_right_one(whole: bytes, length: int) -> None:
    assert frame_size(whole[:length]) in (None, FrameSize(37, 53, 1))


def test_other_bytes_have_no_size() -> None:
    assert frame_size(bytes(1000)) is None
    assert frame_size(b"\xff\xd8" + bytes(1000)) is None


def test_wrong_scan_limits_are_set_right_and_right_ones_left() -> None:
    sound = _jpeg(GREY)
    scan = sound.find(b"\xff\xda")
    wrong = bytearray(sound)
    assert wrong[scan + 8] == 63, "one component: the spectral selection ends seven bytes after the marker"
    wrong[scan + 8] = 0
    assert with_sequential_scan(bytes(wrong)) == sound
    assert with_sequential_scan(sound) == sound
