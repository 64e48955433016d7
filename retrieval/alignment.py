"""Lays one chest X-ray over another so that a person can compare them; a help for the eye, no part of any score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from retrieval.errors import ImageNotUsable, RetrievalError
from retrieval.preprocess import Gray, content_box

Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

# Side of the squares that are registered; finer detail differs between two breaths of one person anyhow.
SIDE = 192
# Gaussian widths in pixels of these squares: outlines first, then ribs, clavicles and vessels.
COARSE = 4.0
FINE, BROAD = 1.2, 6.0
STEPS, LEAST_GAIN = 60, 1e-4
# Beyond these the squares were not registered but distorted: stretch of an axis, share of the square that is covered.
MOST_STRETCH = 1.5
LEAST_OVERLAP = 0.5
# On validation patients the median was 0.48 for one person, 0.35 for two; below this nothing lies over anything.
LEAST_CORRELATION = 0.10

_UNMOVED = np.eye(2, 3, dtype=np.float32)


class AlignmentFailed(RetrievalError):
    """Two images could not be laid over each other."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """How the second image lies over the first.

    Attributes:
        matrix: float64 (2, 3), takes pixel positions (x, y, 1) of the first image to those of the second.
        correlation: of the band-passed structure of both where they overlap, in [-1, 1].
        warped: uint8 (H, W), the second image in the frame of the first and with its tones, 0 beside it.
        covered: bool (H, W), where the second image has pixels.
    """

    matrix: Matrix
    correlation: float
    warped: Bytes
    covered: npt.NDArray[np.bool_]


def align(first: Gray, second: Gray) -> Alignment:
    """Find the affine map that lays the second image over the first.

    Both are cropped to what `content_box` finds, made squares of 192 pixels and registered by the enhanced correlation
    coefficient: smoothed first, so that far outlines find each other, then by the band that holds ribs and vessels.

    Args:
        first, second: (H, W) and (H', W'), display polarity, any finite range.

    Raises:
        ImageNotUsable: an image is not two-dimensional, too small, or without contrast.
        AlignmentFailed: they do not lie over each other, as when the field or the view differs.

    Source: Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization",
    2008 (OpenCV's findTransformECC).
    """
    into_first, small_first = _square(first)
    into_second, small_second = _square(second)
    outlines = [
        np.asarray(cv2.GaussianBlur(small, (0, 0), COARSE), np.float32) for small in (small_first, small_second)
    ]
    structure = [_band(small) for small in (small_first, small_second)]
    best, found = max(_attempts(outlines, structure), key=lambda attempt: attempt[0], default=(-1.0, _UNMOVED))
    if best < LEAST_CORRELATION:
        raise AlignmentFailed("The two images are too different to be laid over each other.")
    matrix = (into_second @ _full(found) @ np.linalg.inv(into_first))[:2]
    return Alignment(matrix, best, *_laid_over(first, second, matrix))


def _square(image: Gray) -> tuple[Matrix, Floats]:
    """The map (3, 3) from the square's pixel positions to the image's, and the square: float32, mean 0, deviation 1."""
    if image.ndim != 2 or min(image.shape) < 16:
        raise ImageNotUsable(f"An image to align must have two dimensions of at least 16 pixels, not {image.shape}.")
    top, bottom, left, right = content_box(image)
    cropped = np.ascontiguousarray(image[top:bottom, left:right], dtype=np.float32)
    small = cv2.resize(cropped, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    deviation = float(small.std())
    if not np.isfinite(deviation) or deviation < 1e-6:
        raise ImageNotUsable("An image without contrast cannot be aligned.")
    across, down = (right - left) / SIDE, (bottom - top) / SIDE
    # Pixel centres lie at whole numbers: the square's corner (-0.5, -0.5) is the crop's.
    into = np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5], [0, 0, 1]], np.float64)
    return into, np.asarray((small - small.mean()) / deviation, dtype=np.float32)


def _band(image: Floats) -> Floats:
    """Ribs, clavicles and vessels: what is neither noise nor a broad shadow, with the same contrast everywhere."""
    band = cv2.GaussianBlur(image, (0, 0), FINE) - cv2.GaussianBlur(image, (0, 0), BROAD)
    energy = cv2.GaussianBlur(band * band, (0, 0), 3 * BROAD)
    return np.asarray(band / np.sqrt(energy + 1e-3), dtype=np.float32)


def _attempts(outlines: list[Floats], structure: list[Floats]) -> Iterator[tuple[float, Floats]]:
    """Plausible registrations, each with its correlation: by way of the outlines, and without it."""
    guided = _register(outlines, _UNMOVED)
    for start in (_UNMOVED, guided):
        found = None if start is None else _register(structure, start)
        if found is None:
            continue
        correlation, overlap = _agreement(structure, found)
        stretches = np.linalg.svd(found[:, :2], compute_uv=False)
        if overlap >= LEAST_OVERLAP and stretches[0] <= MOST_STRETCH and stretches[1] >= 1 / MOST_STRETCH:
            yield correlation, found


def _register(squares: list[Floats], start: Floats) -> Floats | None:
    """The map (2, 3) from pixels of the first square to those of the second; None if the search does not converge."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, LEAST_GAIN)
    try:
        # All of the first square counts; the last value is the width of a further smoothing, 1 = none.
        everywhere = np.full((SIDE, SIDE), 255, np.uint8)
        _, found = cv2.findTransformECC(
            squares[0], squares[1], start.copy(), cv2.MOTION_AFFINE, criteria, everywhere, 1
        )
    except cv2.error:
        return None
    return np.asarray(found, dtype=np.float32)


def _agreement(squares: list[Floats], found: Floats) -> tuple[float, float]:
    """Correlation in [-1, 1] of two squares (SIDE, SIDE) where they overlap, and the share in [0, 1] that does."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(squares[1], found, (SIDE, SIDE), flags=flags)
    inside = cv2.warpAffine(np.ones((SIDE, SIDE), np.float32), found, (SIDE, SIDE), flags=flags) > 0.99
    if inside.mean() < 0.01:
        return 0.0, 0.0
    return float(np.corrcoef(squares[0][inside], moved[inside])[0, 1]), float(inside.mean())


def _laid_over(first: Gray, second: Gray, matrix: Matrix) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """The second image in the frame of the first with its tones, and where it has pixels, see `Alignment`."""
    size, flags = (first.shape[1], first.shape[0]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    covered = cv2.warpAffine(np.ones(second.shape, np.float32), matrix, size, flags=flags) > 0.99
    moved = cv2.warpAffine(_bytes(second), matrix, size, flags=flags)
    ours, theirs = (np.bincount(tones[covered], minlength=256).cumsum() for tones in (_bytes(first), moved))
    # Each tone becomes the one that as large a share of the first image lies below: films differ in exposure.
    tones = np.searchsorted(ours, theirs).clip(0, 255).astype(np.uint8)
    return np.where(covered, tones[moved], np.uint8(0)), np.asarray(covered, dtype=np.bool_)


def _bytes(image: Gray) -> Bytes:
    values = image.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    return np.asarray(np.rint((values - low) * (255.0 / (high - low))), dtype=np.uint8)


def _full(matrix: Floats) -> Matrix:
    return np.vstack([matrix.astype(np.float64), [0.0, 0.0, 1.0]])
