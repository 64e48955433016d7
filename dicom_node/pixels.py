"""Decodes a DICOM radiograph: from the file as received to display tones and a fingerprint of its samples."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pydicom.config
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit

from dicom_node.codestream import with_sequential_scan
from dicom_node.elements import read_elements
from dicom_node.header import HeaderUnreadable, read_file_meta
from dicom_node.layout import COLOUR, Layout, Limits, check_file, check_inflated, checked_layout
from dicom_node.tones import Samples, display_tones
from dicom_node.unreadable import Defect, PixelsUnreadable
from dicom_node.views import HeaderView, ViewKind, header_view

__all__ = [
    "Defect",
    "Limits",
    "PixelsUnreadable",
    "Radiograph",
    "ViewKind",
    "decode",
    "header_view",
    "preview",
]

_PARSE_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom and its plug-ins raise on damaged files, besides their own classes."""

_PREVIEW_QUALITY = 90


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """A decoded radiograph.

    Attributes:
        pixels: float32 (H, W) in [0, 1], display polarity (air dark, bone bright); full size or reduced by
            area averaging to the `max_side` asked for.
        pixel_sha256: hex digest of the stored samples, rows and columns: the same for every lossless transfer
            syntax and whatever the header says besides.
        rows, columns: size as stored.
        view: what the header says the image shows.
    """

    pixels: NDArray[np.float32]
    pixel_sha256: str
    rows: int
    columns: int
    view: HeaderView


def decode(source: Path | Dataset, limits: Limits | None = None, *, max_side: int | None = None) -> Radiograph:
    """Decode a single-frame radiograph of 8 to 16 bits.

    Samples are averaged down to `max_side` before the tone table is applied, which costs a fraction of the
    full-size look-up and differs from it by less than a grey level except at window edges.

    Args:
        source: a DICOM file, or a data set already read with its file meta information.
        limits: what the header may claim; checked before anything is decoded.
        max_side: longest side in pixels of the result; None keeps the full size.

    Raises:
        PixelsUnreadable: for every defect of the file; its `reason` holds no patient data.
        OSError: the file cannot be opened.
    """
    bounds = limits or Limits()
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        # pydicom's warnings and log entries quote values of the header, which may be patient data
        warnings.simplefilter("ignore")
        header = source if isinstance(source, Dataset) else _read(source, bounds)
        try:
            try:
                return _decode(header, bounds, max_side)
            except RecursionError:
                if isinstance(source, Dataset):
                    raise
                return _decode(_shallow(source), bounds, max_side)
        except _PARSE_ERRORS as error:
            raise PixelsUnreadable(Defect.HEADER_BROKEN, type(error).__name__) from error


def preview(radiograph: Radiograph, side: int = 1024) -> bytes:
    """JPEG of a radiograph, its longest side at most `side` pixels, for the dashboard."""
    tones = _reduce(radiograph.pixels, side)
    grey = cv2.convertScaleAbs(tones, alpha=255.0)
    written, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, _PREVIEW_QUALITY])
    if not written:
        raise PixelsUnreadable(Defect.UNSUPPORTED, "no preview can be made")
    return bytes(data)


def _read(path: Path, limits: Limits) -> Dataset:
    check_file(path, limits)
    try:
        meta = pydicom.filereader.read_file_meta_info(path)
        if getattr(meta.get("TransferSyntaxUID"), "is_deflated", False):
            _check_deflated(path, limits)
        return _whole(path)
    except InvalidDicomError as error:
        raise PixelsUnreadable(Defect.NOT_DICOM) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise PixelsUnreadable(Defect.HEADER_BROKEN, "unexpected end") from error
    except _PARSE_ERRORS as error:
        raise PixelsUnreadable(Defect.HEADER_BROKEN, type(error).__name__) from error


def _whole(path: Path) -> Dataset:
    try:
        return pydicom.dcmread(path)
    except RecursionError:
        return _shallow(path)


def _shallow(path: Path) -> Dataset:
    """A data set without the sequences that are nested too deeply to be read."""
    with path.open("rb") as file:
        try:
            syntax = read_file_meta(file)
        except HeaderUnreadable as error:
            raise PixelsUnreadable(Defect.HEADER_BROKEN, error.reason) from error
        plain = BytesIO(zlib.decompress(file.read(), -zlib.MAX_WBITS)) if syntax.is_deflated else file
        header = read_elements(plain, syntax.is_implicit_VR, syntax.is_little_endian, lambda _: True, lambda _: False)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    return header


def _check_deflated(path: Path, limits: Limits) -> None:
    with path.open("rb") as file:
        # Not by the group length, which some files lack.
        read_file_meta(file)
        check_inflated(file.read(), limits)


def _decode(header: Dataset, limits: Limits, max_side: int | None) -> Radiograph:
    layout = checked_layout(header, limits)
    samples = _stored_samples(header, layout)
    reduced = samples if max_side is None else _reduce(samples, max_side)
    if layout.photometric in COLOUR:
        top = float((1 << layout.stored) - 1)
        tones = cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(top)
    else:
        tones = display_tones(reduced, layout, header)
    return Radiograph(
        pixels=tones,
        pixel_sha256=_digest(samples, layout),
        rows=layout.rows,
        columns=layout.columns,
        view=header_view(header),
    )


def _stored_samples(header: Dataset, layout: Layout) -> Samples:
    """Stored values (H, W) or (H, W, 3 as RGB) in the smallest type that holds them, overlay bits removed."""
    plain = layout.syntax.is_little_endian and not layout.syntax.is_encapsulated and layout.samples == 1
    if plain:
        kind = np.dtype("<u2" if layout.allocated == 16 else np.uint8)
        count = layout.rows * layout.columns
        flat = np.frombuffer(header.PixelData, dtype=kind, count=count)
        return _significant(flat.reshape(layout.rows, layout.columns), layout)
    if layout.syntax in (JPEGBaseline8Bit, JPEGExtended12Bit):
        header = _with_sound_scan(header)
    try:
        decoded, _ = get_decoder(layout.syntax).as_array(header, raw=False, index=0)
    except BaseException as error:
        # Codecs written in Rust answer damage with an exception of this name, which is no Exception.
        if isinstance(error, (*_PARSE_ERRORS, OSError)) or type(error).__name__ == "PanicException":
            raise PixelsUnreadable(Defect.UNDECODABLE) from error
        raise
    expected = (layout.rows, layout.columns) + ((3,) if layout.samples == 3 else ())
    if decoded.shape != expected or decoded.dtype.itemsize > 2:
        raise PixelsUnreadable(Defect.CONTRADICTORY)
    native = np.ascontiguousarray(decoded, dtype=decoded.dtype.newbyteorder("="))
    if layout.samples == 3:
        return native
    return _significant(native.view(f"u{native.dtype.itemsize}"), layout)


def _with_sound_scan(header: Dataset) -> Dataset:
    frame = next(generate_frames(header.PixelData, number_of_frames=1))
    sound = with_sequential_scan(frame)
    if sound == frame:
        return header
    repaired = copy.copy(header)
    repaired.PixelData = encapsulate([sound])
    return repaired


def _significant(words: NDArray[Any], layout: Layout) -> Samples:
    """The stored bits of unsigned words, sign-extended where signed, without overlays in the spare bits."""
    shift = layout.high_bit + 1 - layout.stored
    bits = 8 * words.dtype.itemsize
    if shift:
        words = words >> shift
    if layout.stored < bits:
        words = words & words.dtype.type((1 << layout.stored) - 1)
    if layout.signed:
        spare = bits - layout.stored
        return np.asarray((words << spare).view(f"i{words.dtype.itemsize}") >> spare)
    return words


def _digest(samples: Samples, layout: Layout) -> str:
    kind = "<i2" if samples.dtype.kind == "i" else "<u2"
    narrow = samples.dtype.itemsize == 1 or layout.stored <= 8
    canonical = np.ascontiguousarray(samples.astype(kind[:2] + "1" if narrow else kind, copy=False))
    digest = hashlib.sha256(struct.pack("<3I", layout.rows, layout.columns, layout.samples))
    digest.update(canonical.data)
    return digest.hexdigest()


def _reduce(image: NDArray[Any], side: int) -> NDArray[Any]:
    longest = max(image.shape[:2])
    if longest <= side:
        return image
    rows, columns = (max(1, round(length * side / longest)) for length in image.shape[:2])
    return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
