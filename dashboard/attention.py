"""The encoder's attention as a picture that lies over the preview."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from archive.models import WHOLE
from dashboard.upright import turn

# Five points of the perceptually uniform map "inferno" (S. van der Walt and N. Smith, 2015; public domain).
INFERNO = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=np.float64)
MOST_OPAQUE = 0.62


def overlay(attention: bytes, rows: int, box: Sequence[float] = WHOLE, righting: str = "", side: int = 512) -> bytes:
    """A square PNG to stretch over the preview: hot colours, little transparent where the encoder looked most.

    Args:
        attention: uint8, row by row, 255 = most; `rows` of equal length.
        box: the part of the image that the attention covers, see `Box`; the rest is wholly transparent.
        righting: what was done to the image that both lie on, see `Instance`, and is done to the result.
        side: pixels a side of the result.

    Raises:
        ValueError: `attention` cannot be divided into `rows` rows.
    """
    grid = np.frombuffer(attention, dtype=np.uint8).reshape(rows, -1)
    top, bottom, left, right = (round(bound * side) for bound in box)
    size = max(1, right - left), max(1, bottom - top)
    wide = np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
    low, high = float(wide.min()), float(wide.max())
    heat = (wide - low) / (high - low) if high > low else np.zeros_like(wide)
    channels = [np.interp(heat, np.linspace(0.0, 1.0, len(INFERNO)), INFERNO[:, index]) for index in range(3)]
    picture = np.stack([*channels, 255.0 * MOST_OPAQUE * heat], axis=-1)
    whole = Image.new("RGBA", (side, side))
    whole.paste(Image.fromarray(np.rint(picture).astype(np.uint8)), (left, top))
    file = io.BytesIO()
    turn(whole, righting).save(file, "PNG", compress_level=1)
    return file.getvalue()
