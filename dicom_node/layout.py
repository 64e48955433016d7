"""How an image's samples lie in its pixel data, checked against limits before anything is decoded."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from dicom_node.codestream import frame_size
from dicom_node.unreadable import Defect, PixelsUnreadable

MIN_SIDE = 2
GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_SIZED_CODESTREAMS = frozenset({*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes})
_HT_PREFIX = "1.2.840.10008.1.2.4.20"


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What an image may claim: `max_pixels` is rows x columns, `max_bytes` bounds the file, also inflated."""

    max_pixels: int = 120_000_000
    max_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        if self.max_pixels < 1 or self.max_bytes < 1:
            raise ValueError("limits must be positive")


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Sample format of a single-frame image; `allocated`, `stored` and `high_bit` in bits."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    photometric: str
    syntax: UID

    @property
    def native_bytes(self) -> int:
        """Length in bytes of the uncompressed pixel data."""
        samples = self.rows * self.columns * self.samples
        if self.photometric == "YBR_FULL_422":
            samples = samples * 2 // 3
        return samples * self.allocated // 8


def checked_layout(header: Dataset, limits: Limits) -> Layout:
    """Read the layout of an image and hold it against the limits, without touching its pixels.

    Raises:
        PixelsUnreadable: no image, more than one frame, too large, an unsupported format, contradictions.
    """
    if "PixelData" not in header:
        raise PixelsUnreadable(Defect.NO_PIXELS)
    frames = _integer(header, "NumberOfFrames", 1)
    if frames > 1:
        raise PixelsUnreadable(Defect.MULTI_FRAME, f"{frames} frames")
    syntax = getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:
        raise PixelsUnreadable(Defect.INCOMPLETE_HEADER, "no transfer syntax")
    allocated = _integer(header, "BitsAllocated")
    stored = _integer(header, "BitsStored", allocated)
    layout = Layout(
        rows=_integer(header, "Rows"),
        columns=_integer(header, "Columns"),
        samples=_integer(header, "SamplesPerPixel", 1),
        allocated=allocated,
        stored=stored,
        high_bit=_integer(header, "HighBit", stored - 1),
        signed=_integer(header, "PixelRepresentation", 0) == 1,
        photometric=str(header.get("PhotometricInterpretation", "")).strip().upper(),
        syntax=UID(syntax),
    )
    _check_size(layout, limits)
    _check_format(layout)
    _check_data(header, layout, limits)
    return layout


def check_file(path: Path, limits: Limits) -> None:
    """Refuse a file that is too large to be read into memory.

    Raises:
        PixelsUnreadable: larger than `limits.max_bytes`.
        OSError: the file cannot be looked at.
    """
    if path.stat().st_size > limits.max_bytes:
        raise PixelsUnreadable(Defect.TOO_LARGE, f"file over {limits.max_bytes >> 20} MiB")


def check_inflated(deflated: bytes, limits: Limits) -> None:
    """Refuse a deflated data set that grows beyond the limit, without keeping what it grows to.

    Raises:
        PixelsUnreadable: broken, or larger than `limits.max_bytes` once inflated.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, size = deflated, 0
    while rest and not inflater.eof:
        try:
            size += len(inflater.decompress(rest, 1 << 20))
        except zlib.error as error:
            raise PixelsUnreadable(Defect.HEADER_BROKEN, "deflated data is damaged") from error
        if size > limits.max_bytes:
            raise PixelsUnreadable(Defect.TOO_LARGE, f"inflates to over {limits.max_bytes >> 20} MiB")
        rest = inflater.unconsumed_tail
    if not inflater.eof:
        raise PixelsUnreadable(Defect.HEADER_BROKEN, "deflated data ends early")


def _integer(header: Dataset, keyword: str, default: int | None = None) -> int:
    value = header.get(keyword)
    if value is None or value == "":
        if default is None:
            raise PixelsUnreadable(Defect.INCOMPLETE_HEADER, f"no {keyword}")
        return default
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise PixelsUnreadable(Defect.INCOMPLETE_HEADER, f"{keyword} is not one number") from error


def _check_size(layout: Layout, limits: Limits) -> None:
    if min(layout.rows, layout.columns) < MIN_SIDE:
        raise PixelsUnreadable(Defect.UNSUPPORTED, f"{layout.columns}x{layout.rows} pixels")
    if layout.rows * layout.columns > limits.max_pixels:
        raise PixelsUnreadable(Defect.TOO_LARGE, f"{layout.columns}x{layout.rows} pixels")


def _check_format(layout: Layout) -> None:
    if layout.photometric not in GREY | COLOUR:
        raise PixelsUnreadable(Defect.UNSUPPORTED, _known(layout.photometric))
    if layout.samples != (1 if layout.photometric in GREY else 3):
        raise PixelsUnreadable(Defect.UNSUPPORTED, f"{layout.samples} samples a pixel")
    if layout.allocated not in (8, 16):
        raise PixelsUnreadable(Defect.UNSUPPORTED, f"{layout.allocated} bits allocated")
    if not 1 <= layout.stored <= layout.allocated or not layout.stored - 1 <= layout.high_bit < layout.allocated:
        raise PixelsUnreadable(Defect.UNSUPPORTED, "bits stored and high bit contradict each other")


def _known(photometric: str) -> str:
    return "palette colour" if photometric == "PALETTE COLOR" else "unknown photometric interpretation"


def _check_data(header: Dataset, layout: Layout, limits: Limits) -> None:
    data = header.PixelData
    if not isinstance(data, bytes) or not data:
        raise PixelsUnreadable(Defect.TRUNCATED, "no pixel data")
    if not layout.syntax.is_compressed or layout.syntax.is_deflated:
        if len(data) < layout.native_bytes:
            raise PixelsUnreadable(Defect.TRUNCATED, f"{len(data)} of {layout.native_bytes} bytes")
        return
    if layout.syntax not in _SIZED_CODESTREAMS and not layout.syntax.startswith(_HT_PREFIX):
        if layout.syntax != RLELossless:
            raise PixelsUnreadable(Defect.UNSUPPORTED, "transfer syntax")
        return
    try:
        frame = next(generate_frames(data, number_of_frames=1))
    except (ValueError, StopIteration) as error:
        raise PixelsUnreadable(Defect.TRUNCATED, "fragments of the compressed image") from error
    claimed = frame_size(frame)
    if claimed is None:
        raise PixelsUnreadable(Defect.UNDECODABLE, "no image header in the compressed data")
    if (claimed.rows, claimed.columns, claimed.components) != (layout.rows, layout.columns, layout.samples):
        raise PixelsUnreadable(Defect.CONTRADICTORY)
