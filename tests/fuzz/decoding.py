"""What a decoder process does with one damaged data set; imported by name in that process."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psutil

from dicom_node.discretion import keep_values_private
from dicom_node.header import HeaderUnreadable, read_header
from dicom_node.pixels import Limits, PixelsUnreadable, decode

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 24)


def begin() -> None:
    """Load everything, as a decoder of the product does."""
    keep_values_private()


def read_and_decode(content: bytes) -> tuple[str, int]:
    """What became of a DICOM file: "header refused", "pixels refused" or "decoded"; and the memory of this process."""
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(content)
        file.flush()
        path = Path(file.name)
        outcome = "decoded"
        try:
            read_header(path)
        except HeaderUnreadable:
            outcome = "header refused"
        try:
            decode(path, LIMITS, max_side=64)
        except PixelsUnreadable:
            outcome = outcome if outcome != "decoded" else "pixels refused"
    return outcome, psutil.Process().memory_info().rss
