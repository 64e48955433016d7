"""What the file of an image laid over another says of itself, so that one that is out of date is told."""

from __future__ import annotations

from archive.files import ImageFiles
from archive.models import Instance

# Entries of the file's text: the correlation of both images, and what the file was made from.
CORRELATION, MADE_FROM = "correlation", "made-from"


def made_from(files: ImageFiles, first: Instance, second: Instance) -> str:
    """Names the previews of both images as they are now, and what was done to each, see `Instance.righting`.

    Raises:
        FileNotFoundError: one of the two has no preview.
    """
    return ", ".join(f"{files.preview_path(image.id).stat().st_mtime_ns} {image.righting}" for image in (first, second))
