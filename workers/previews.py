"""Previews as people and other images meet them: put right where the image is stored turned or inverted."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from archive.files import ImageFiles
from archive.models import Instance
from retrieval.upright import put_right


def upright_preview(files: ImageFiles, image: Instance) -> NDArray[np.uint8] | None:
    """The preview of an image as it was compared, uint8 (h, w); None where there is none."""
    stored = cv2.imread(str(files.preview_path(image.id)), cv2.IMREAD_GRAYSCALE)
    return None if stored is None else put_right(np.asarray(stored, dtype=np.uint8), image.righting)
