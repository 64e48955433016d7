"""The alignment task: lays the preview of one image over that of another, for people to look at."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from archive.database import Database
from archive.files import ImageFiles
from retrieval.alignment import Alignment, AlignmentFailed, align
from retrieval.errors import ImageNotUsable
from workers.previews import upright_preview

logger = logging.getLogger(__name__)

# The PNG's text entry that holds the correlation.
CORRELATION = "correlation"


def align_previews(database: Database, files: ImageFiles, first: int, second: int) -> dict[str, Any]:
    """Lay the preview of image `second` over that of image `first` and keep the result; again gives the same.

    Both are put right before, as they were when they were compared. The file (`ImageFiles.aligned_path`) is a PNG of
    the first one's size: red holds the grey tones of the first image, green those of the second, blue is 255 where the
    second has pixels and 0 elsewhere. The correlation of both is its text.

    Returns:
        JSON: `problem`, one sentence why there is no file, empty when there is.
    """
    below, above = (upright_preview(database, files, number) for number in (first, second))
    if below is None or above is None:
        return {"problem": "One of the two images has no preview, so they cannot be laid over each other."}
    try:
        _write(files.aligned_path(first, second), below.tones, align(below.tones, above.tones))
    except (AlignmentFailed, ImageNotUsable) as error:
        return {"problem": str(error)}
    except OSError as error:
        logger.error("images %d and %d were aligned, but not kept: %s", first, second, error.strerror)
        return {"problem": "The aligned image cannot be kept; an administrator should look at the disk."}
    return {"problem": ""}


def _write(target: Path, first: NDArray[np.uint8], found: Alignment) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text(CORRELATION, f"{found.correlation:.3f}")
    covered = np.where(found.covered, np.uint8(255), np.uint8(0))
    partial = target.with_suffix(".part")
    picture = Image.fromarray(np.stack([first, found.warped, covered], axis=-1), "RGB")
    picture.save(partial, "PNG", pnginfo=text, compress_level=1)
    partial.replace(target)
