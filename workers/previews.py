"""Previews as people and other images meet them: put right where the image is stored turned or inverted."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Instance
from retrieval.upright import Righting


@dataclass(frozen=True, eq=False)
class Preview:
    """The preview of an image as it was compared.

    Attributes:
        tones: uint8 (h, w). done: in words what was done to it, see `Instance.righting`.
    """

    tones: NDArray[np.uint8]
    done: str


def upright_preview(database: Database, files: ImageFiles, instance_id: int) -> Preview | None:
    """The preview of an image, put right; None where there is no such image or no preview of it."""
    with database.read() as session:
        image = session.get(Instance, instance_id)
    stored = cv2.imread(str(files.preview_path(instance_id)), cv2.IMREAD_GRAYSCALE)
    if image is None or stored is None:
        return None
    tones, righting = np.asarray(stored, dtype=np.uint8), Righting.read(image.righting)
    return Preview(tones if righting is None else righting.of(tones), image.righting)
