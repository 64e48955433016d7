"""What a header may claim, checked without looking at the pixels."""

from __future__ import annotations

import datetime
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node import wrap
from dicom_node.layout import Limits, check_file, check_inflated, checked_layout
from dicom_node.unreadable import Defect, PixelsUnreadable


def _header(rows: int, columns: int) -> Dataset:
    return wrap.digital_xray(
        np.zeros((rows, columns), np.uint16),
        patient=wrap.PatientHeader(patient_id="1"),
        study=wrap.StudyHeader(taken=datetime.datetime(2024, 1, 1)),
    )


def test_layout_holds_what_the_header_says() -> None:
    layout = checked_layout(_header(30, 20), Limits())
    assert (layout.rows, layout.columns, layout.allocated, layout.stored, layout.high_bit) == (
        30,
        20,
        16,
        12,
        11,
    )
    assert not layout.signed
    assert layout.native_bytes == 1200


def test_limit_is_on_rows_times_columns_and_includes_the_limit() -> None:
    assert checked_layout(_header(30, 20), Limits(max_pixels=600)).rows == 30
    with pytest.raises(PixelsUnreadable) as refused:
        checked_layout(_header(30, 20), Limits(max_pixels=599))
    assert refused.value.defect is Defect.TOO_LARGE
    assert "20x30" in refused.value.reason


def test_file_limit_includes_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(bytes(100))
    check_file(file, Limits(max_bytes=100))
    with pytest.raises(PixelsUnreadable):
        check_file(file, Limits(max_bytes=99))


def test_inflated_size_is_counted_and_damage_noticed() -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = packer.compress(bytes(5_000_000)) + packer.flush()
    check_inflated(deflated, Limits(max_bytes=5_000_000))
    with pytest.raises(PixelsUnreadable) as refused:
        check_inflated(deflated, Limits(max_bytes=4_999_999))
    assert refused.value.defect is Defect.TOO_LARGE
    with pytest.raises(PixelsUnreadable) as damaged:
        check_inflated(b"\xff" * 100, Limits())
    assert damaged.value.defect is Defect.HEADER_BROKEN


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        Limits(max_pixels=0)
