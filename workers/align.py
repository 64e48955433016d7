"""The alignment task: lays the preview of one image over that of another, for people to look at."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from archive.files import ImageFiles
from retrieval.alignment import Alignment, AlignmentFailed, align
from retrieval.errors import ImageNotUsable

logger = logging.getLogger(__name__)

# The PNG's text entry that holds the correlation.
CORRELATION = "correlation"


def align_previews(files: ImageFiles, first: int, second: int) -> dict[str, Any]:
    """Lay the preview of image `second` over that of image `first` and keep the result; again gives the same.

    The file (`ImageFiles.aligned_path`) is a PNG of the first preview's size: grey tones of the second image, opacity 0
    where it has none, and the correlation of both as text.

    Returns:
        JSON: `problem`, one sentence why there is no file, empty when there is.
    """
    pictures = [_read(files.preview_path(number)) for number in (first, second)]
    if pictures[0] is None or pictures[1] is None:
        return {"problem": "One of the two images has no preview, so they cannot be laid over each other."}
    try:
        _write(files.aligned_path(first, second), align(pictures[0], pictures[1]))
    except (AlignmentFailed, ImageNotUsable) as error:
        return {"problem": str(error)}
    except OSError as error:
        logger.error("images %d and %d were aligned, but not kept: %s", first, second, error.strerror)
        return {"problem": "The aligned image cannot be kept; an administrator should look at the disk."}
    return {"problem": ""}


def _read(preview: Path) -> NDArray[np.uint8] | None:
    picture = cv2.imread(str(preview), cv2.IMREAD_GRAYSCALE)
    return None if picture is None else np.asarray(picture, dtype=np.uint8)


def _write(target: Path, found: Alignment) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text(CORRELATION, f"{found.correlation:.3f}")
    opacity = np.where(found.covered, np.uint8(255), np.uint8(0))
    partial = target.with_suffix(".part")
    Image.fromarray(np.stack([found.warped, opacity], axis=-1), "LA").save(
        partial, "PNG", pnginfo=text, compress_level=1
    )
    partial.replace(target)
