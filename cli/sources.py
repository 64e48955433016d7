"""Images named on the command line: one file, a folder, or a manifest, as JPEG, PNG or DICOM."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from cli.outcome import InputNotUsable
from dicom_node.pixels import Limits, PixelsUnreadable, decode
from dicom_node.views import ViewKind
from workers.decoder import ENCODE_SIDE

PICTURES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True)
class Source:
    """An image to read: its name as the user or the manifest wrote it, its path, and the manifest's other columns."""

    name: str
    path: Path
    columns: dict[str, str] = field(default_factory=dict)


def find_sources(path: Path) -> tuple[Source, ...]:
    """Images behind a path given on the command line.

    A manifest (`.csv`) needs a column `file`, relative to the manifest's folder. In a folder, pictures by their suffix
    and DICOM files by their content are taken, at any depth, in order of name. Any other file is taken as it is.

    Raises:
        InputNotUsable: nothing is there, or the manifest has no such column.
    """
    if path.is_dir():
        found = tuple(Source(str(file.relative_to(path)), file) for file in _walk(path))
    elif path.suffix.lower() == ".csv":
        found = _manifest(path)
    elif path.is_file():
        found = (Source(str(path), path),)
    else:
        raise InputNotUsable(f"{path} does not exist.")
    if not found:
        raise InputNotUsable(f"There are no images in {path}: JPEG, PNG or DICOM files are expected.")
    return found


def is_dicom(path: Path) -> bool:
    """Whether a file carries the DICOM prefix (PS3.10, 7.1)."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


@dataclass(frozen=True, eq=False)
class Picture:
    """A readable image: float32 (H, W) in [0, 1], air dark, bone bright; and what a DICOM header says against it.

    Attributes:
        unsuitable: why the header alone says that it is no frontal chest image; empty when it may be one.
    """

    gray: npt.NDArray[np.float32]
    unsuitable: str = ""


def read_image(path: Path, limits: Limits) -> Picture:
    """Read a JPEG or PNG of any depth (colour is turned to grey) or a DICOM file, as the system itself would.

    Args:
        path: the file.
        limits: the most pixels that may be decoded.

    Raises:
        InputNotUsable: the file cannot be read or decoded, or claims too many pixels; the text says why.
    """
    if path.suffix.lower() not in PICTURES or is_dicom(path):
        return _radiograph(path, limits)
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > limits.max_pixels:
                raise InputNotUsable(f"{path} has more than {limits.max_pixels} pixels (option decoding.max_pixels).")
            return Picture(_unit(picture))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise InputNotUsable(f"{path} is no readable picture.") from error


def _radiograph(path: Path, limits: Limits) -> Picture:
    try:
        found = decode(path, limits, max_side=ENCODE_SIDE)
    except PixelsUnreadable as error:
        raise InputNotUsable(f"{path} cannot be decoded: {error}.") from error
    except OSError as error:
        raise InputNotUsable(f"{path} cannot be read: {error.strerror}.") from error
    wrong = found.view.kind in (ViewKind.LATERAL, ViewKind.OTHER)
    return Picture(found.pixels, found.view.reason if wrong else "")


def _unit(picture: Image.Image) -> npt.NDArray[np.float32]:
    if picture.mode.startswith("I"):
        return np.asarray(picture, dtype=np.float32) / np.float32(65535)
    return np.asarray(picture.convert("L"), dtype=np.float32) / np.float32(255)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(parent) / name
            if not name.startswith(".") and file.is_file() and (file.suffix.lower() in PICTURES or is_dicom(file)):
                yield file


def _manifest(path: Path) -> tuple[Source, ...]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputNotUsable(f"The manifest {path} cannot be read as CSV text.") from error
    if any(not row.get("file") for row in rows):
        raise InputNotUsable(f"The manifest {path} needs a column `file` with a value in every row.")
    return tuple(
        Source(row["file"], path.parent / row["file"], {k: v or "" for k, v in row.items() if k is not None})
        for row in rows
    )
