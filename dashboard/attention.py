"""The encoder's attention as a picture that lies over the preview."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

# Five points of the perceptually uniform map "inferno" (S. van der Walt and N. Smith, 2015; public domain).
INFERNO = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=np.float64)
MOST_OPAQUE = 0.62


def overlay(attention: bytes, rows: int, side: int = 512) -> bytes:
    """A square PNG with transparency: hot colours, little transparent where the encoder looked most.

    Args:
        attention: uint8, row by row, 255 = most; `rows` of equal length.
        side: pixels a side of the result.

    Raises:
        ValueError: `attention` cannot be divided into `rows` rows.
    """
    grid = np.frombuffer(attention, dtype=np.uint8).reshape(rows, -1)
    wide = np.asarray(Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64)
    low, high = float(wide.min()), float(wide.max())
    heat = (wide - low) / (high - low) if high > low else np.zeros_like(wide)
    channels = [np.interp(heat, np.linspace(0.0, 1.0, len(INFERNO)), INFERNO[:, index]) for index in range(3)]
    picture = np.stack([*channels, 255.0 * MOST_OPAQUE * heat], axis=-1)
    file = io.BytesIO()
    Image.fromarray(np.rint(picture).astype(np.uint8)).save(file, "PNG", compress_level=1)
    return file.getvalue()
