"""The work of a decoder process: one file in, a prepared image and a preview out; loads no network library."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from archive.models import Box
from archive.progress import Picture
from dicom_node.pixels import Limits, PixelsUnreadable, decode, preview
from dicom_node.views import ViewKind
from retrieval.errors import ImageNotUsable
from retrieval.preprocess import content_box, prepare
from workers.process import die_with_parent

# Decoding at this size keeps every detail that the 320-pixel prepared input can show.
ENCODE_SIDE = 1024
# Beside the interpreter: the file, its samples in 16 and 32 bits, and copies that plug-ins make of them.
BASE_BYTES = 1 << 30
BYTES_PER_PIXEL = 16


@dataclass(frozen=True)
class Order:
    """What to decode: the file, where the preview goes and its longest side in pixels, the most samples allowed."""

    source: Path
    preview: Path
    preview_side: int
    max_pixels: int


@dataclass(frozen=True, eq=False)
class Decoded:
    """A readable image.

    Attributes:
        prepared: uint8 (320, 320), see `retrieval.preprocess.prepare`.
        box: the part of the image that `prepared` shows.
        unsuitable: why the header alone says that it is no frontal chest image; empty when it may be one.
    """

    prepared: NDArray[np.uint8]
    box: Box
    picture: Picture
    unsuitable: str


@dataclass(frozen=True)
class Unreadable:
    """An image without usable pixels; `for_good` when another attempt would end the same way."""

    reason: str
    for_good: bool


Outcome = Decoded | Unreadable


def decode_image(order: Order) -> Outcome:
    """Decode one file, write its preview and prepare it for the network.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        radiograph = decode(
            order.source, Limits(max_pixels=order.max_pixels), max_side=max(ENCODE_SIDE, order.preview_side)
        )
        prepared, box = prepare(radiograph.pixels), _shares(radiograph.pixels)
        with contextlib.suppress(OSError):
            # Only a picture for people; the dashboard asks for a missing one again.
            _write(order.preview, preview(radiograph, order.preview_side))
    except PixelsUnreadable as error:
        return Unreadable(error.reason, for_good=True)
    except ImageNotUsable as error:
        return Unreadable(str(error), for_good=True)
    except (MemoryError, cv2.error):
        return Unreadable("decoding needs more memory than it may use", for_good=False)
    view = radiograph.view
    picture = Picture(radiograph.rows, radiograph.columns, radiograph.pixel_sha256, view.kind.value)
    wrong = view.kind in (ViewKind.LATERAL, ViewKind.OTHER)
    return Decoded(prepared, box, picture, view.reason if wrong else "")


def begin(max_pixels: int) -> None:
    """Prepare a decoder process: it dies with its parent, uses one thread and a limited amount of memory."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        die_with_parent(parent.pid)
    cv2.setNumThreads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    most = pages * resource.getpagesize() + BASE_BYTES + BYTES_PER_PIXEL * max_pixels
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _shares(pixels: NDArray[np.float32]) -> Box:
    height, width = pixels.shape
    top, bottom, left, right = content_box(pixels)
    return top / height, bottom / height, left / width, right / width


def _write(target: Path, data: bytes) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(target)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
