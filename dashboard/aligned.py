"""Two images laid over each other for the eye: the new one in blue, the other in orange, grey where both agree."""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from archive.overlays import CORRELATION, MADE_FROM

# The two add up to white, and people who see few colours tell them apart too.
BLUE = np.array([0.0, 0.6, 1.0])
ORANGE = 1.0 - BLUE
# A difference of a fifth of the grey range is shown at full strength. Shadows broader than this share of the side come
# from exposure and breath, and are left out of it.
GAIN = 5.0
BROAD = 1 / 32


class Part(StrEnum):
    """A picture of the aligned view."""

    NEW = "new"
    OTHER = "other"
    DIFFERENCE = "difference"


@dataclass(frozen=True, eq=False)
class Aligned:
    """The other image in the frame of the new one.

    Attributes:
        new, other: float64 (H, W), grey tones in [0, 1]. covered: bool (H, W), where the other image has pixels.
        correlation: of fine structure, in [-1, 1].
        made_from: see `archive.overlays`; empty where the file does not say.
    """

    new: NDArray[np.float64]
    other: NDArray[np.float64]
    covered: NDArray[np.bool_]
    correlation: float
    made_from: str


def read_aligned(aligned: Path) -> Aligned:
    """Read what the workers have laid over each other, see `ImageFiles.aligned_path`.

    Raises:
        OSError: the file is missing or no picture. ValueError: it has not three bands, or holds no correlation.
    """
    with Image.open(aligned) as picture:
        new, other, covered = (np.asarray(band) for band in picture.split())
        said = picture.info
    return Aligned(
        new / 255.0, other / 255.0, covered > 0, float(said.get(CORRELATION, "")), str(said.get(MADE_FROM, ""))
    )


def draw(found: Aligned, part: Part) -> bytes:
    """One picture as JPEG: the new image in blue, the other in orange, or detail that only one has, in its colour."""
    if part is Part.NEW:
        picture = found.new[..., None] * BLUE
    elif part is Part.OTHER:
        picture = found.other[..., None] * ORANGE
    else:
        # So that the blur finds no edge where the other image ends.
        other = np.where(found.covered, found.other, found.new)
        more = np.where(found.covered, GAIN * (_detail(found.new) - _detail(other)), 0.0)
        picture = np.clip(more, 0, 1)[..., None] * BLUE + np.clip(-more, 0, 1)[..., None] * ORANGE
    file = io.BytesIO()
    Image.fromarray(np.rint(255.0 * picture).astype(np.uint8)).save(file, "JPEG", quality=88, subsampling=0)
    return file.getvalue()


def _detail(tones: NDArray[np.float64]) -> NDArray[np.float64]:
    broad = Image.fromarray(np.rint(255.0 * tones).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(BROAD * max(tones.shape))
    )
    return np.asarray(tones - np.asarray(broad) / 255.0)
