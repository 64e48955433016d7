"""What the file of an image laid over another says of itself, so that one that is out of date is told."""

from __future__ import annotations

from archive.files import ImageFiles, new_digest
from archive.models import Instance

NO_PREVIEW = "One of the two images has no preview, so they cannot be laid over each other."
# Entries of the file's text: the correlation of both images, and what the file was made from.
CORRELATION, MADE_FROM = "correlation", "made-from"


def made_from(files: ImageFiles, first: Instance, second: Instance) -> str:
    """Names the previews of both images by their bytes, and what was done to each, see `Instance.righting`.

    Raises:
        OSError: one of the two has no preview, or it cannot be read.
    """
    parts = []
    for image in (first, second):
        digest = new_digest()
        digest.update(files.preview_path(image.id).read_bytes())
        parts.append(f"{digest.hexdigest()} {image.righting}".rstrip())
    return ", ".join(parts)
