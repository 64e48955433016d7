"""Reads the size that a compressed image claims for itself, before a decoder allocates it."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator

_NO_FRAME_HEADER = frozenset({0xC4, 0xC8, 0xCC})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_LS_FRAME = 0xF7
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_BOX_SEARCH = 1 << 16


@dataclasses.dataclass(frozen=True, slots=True)
class FrameSize:
    """Rows, columns and components of a codestream, as its own header states them."""

    rows: int
    columns: int
    components: int


def frame_size(codestream: bytes) -> FrameSize | None:
    """Size stated by a JPEG, JPEG-LS, JPEG 2000 or HTJ2K codestream; None when there is no frame header.

    Args:
        codestream: one compressed frame, with or without JP2 boxes around it.

    Source: ISO 10918-1 B.2.2, ISO 14495-1 C.2.2, ISO 15444-1 A.5.1.
    """
    if codestream[:2] == b"\xff\xd8":
        return _jpeg(codestream)
    start = codestream.find(_JPEG_2000_START, 0, _BOX_SEARCH)
    return _jpeg_2000(codestream, start) if start >= 0 else None


def with_sequential_scan(codestream: bytes) -> bytes:
    """The codestream with the scan limits that sequential JPEG prescribes (0 to 63).

    Some senders write 0 to 0 as lossless JPEG has it; decoders that check refuse such an image.

    Source: ISO 10918-1 table B.3.
    """
    for marker, position in _segments(codestream):
        if marker == _START_OF_SCAN:
            limits = position - 1 + int.from_bytes(codestream[position + 2 : position + 4], "big")
            return codestream[:limits] + b"\x00\x3f" + codestream[limits + 2 :]
    return codestream


def _segments(codestream: bytes) -> Iterator[tuple[int, int]]:
    """Markers of a JPEG header up to the first scan, each with the position of its 0xFF."""
    position = 2
    while position + 4 <= len(codestream) and codestream[position] == 0xFF:
        marker = codestream[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        yield marker, position
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return
        length = 0 if marker in _STANDALONE else int.from_bytes(codestream[position + 2 : position + 4], "big")
        position += 2 + length


def _jpeg(codestream: bytes) -> FrameSize | None:
    for marker, position in _segments(codestream):
        frame = marker == _JPEG_LS_FRAME or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_HEADER)
        if frame and position + 10 <= len(codestream):
            _, rows, columns, components = struct.unpack_from(">BHHB", codestream, position + 4)
            return FrameSize(rows, columns, components)
    return None


def _jpeg_2000(codestream: bytes, start: int) -> FrameSize | None:
    if start + 42 > len(codestream):
        return None
    right, bottom, left, top = struct.unpack_from(">4I", codestream, start + 8)
    (components,) = struct.unpack_from(">H", codestream, start + 40)
    return FrameSize(bottom - top, right - left, components)
