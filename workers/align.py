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
from archive.models import Instance
from archive.overlays import CORRELATION, MADE_FROM, NO_PREVIEW, made_from
from retrieval.alignment import Alignment, AlignmentFailed, align
from retrieval.errors import ImageNotUsable
from workers.previews import upright_preview

logger = logging.getLogger(__name__)


def align_previews(database: Database, files: ImageFiles, first: int, second: int) -> dict[str, Any]:
    """Lay the preview of image `second` over that of image `first` and keep the result; again gives the same.

    Both are put right before, as they were when they were compared. The file (`ImageFiles.aligned_path`) is a PNG of
    the first one's size: red holds the grey tones of the first image, green those of the second, blue is 255 where the
    second has pixels and 0 elsewhere. For its text see `archive.overlays`.

    Returns:
        JSON: `problem`, one sentence why there is no file, empty when there is.
    """
    images, target = _images(database, first, second), files.aligned_path(first, second)
    if images is None:
        return {"problem": NO_PREVIEW}
    try:
        # Before the previews are read: a file from previews that are replaced meanwhile is out of date.
        origin = made_from(files, *images)
        below, above = (upright_preview(files, image) for image in images)
        if below is None or above is None:
            return {"problem": NO_PREVIEW}
        _write(target, origin, below, align(below, above))
    except (AlignmentFailed, ImageNotUsable) as error:
        return {"problem": str(error)}
    except FileNotFoundError:
        # Either never there, or a purge has removed it; that removes what is half written, too.
        return {"problem": NO_PREVIEW}
    except OSError as error:
        logger.error("images %d and %d are not laid over each other: %s", first, second, error.strerror)
        return {"problem": "The aligned image cannot be kept; an administrator should look at the disk."}
    if _images(database, first, second) is None:
        # Purged meanwhile, and nothing that shows it may stay.
        target.unlink(missing_ok=True)
        return {"problem": NO_PREVIEW}
    return {"problem": ""}


def _images(database: Database, first: int, second: int) -> tuple[Instance, Instance] | None:
    """Both images, None where one is not there, or not any more."""
    with database.read() as session:
        below, above = session.get(Instance, first), session.get(Instance, second)
    return None if below is None or above is None else (below, above)


def _write(target: Path, origin: str, first: NDArray[np.uint8], found: Alignment) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text(CORRELATION, f"{found.correlation:.3f}")
    text.add_text(MADE_FROM, origin)
    covered = np.where(found.covered, np.uint8(255), np.uint8(0))
    partial = target.with_suffix(".part")
    picture = Image.fromarray(np.stack([first, found.warped, covered], axis=-1), "RGB")
    try:
        picture.save(partial, "PNG", pnginfo=text, compress_level=1)
        partial.replace(target)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
