"""Turn any grey radiograph into the small normalised square that the networks see, in training and production alike."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from retrieval.errors import ImageNotUsable

PREPARED_SIZE = 320

_PROBE_SIDE = 256
_UNIFORM_SHARE = 0.97
_UNIFORM_TOLERANCE = 0.02
_EXTREME_TOLERANCE = 0.06
_DARK_LIMIT = 0.30
_BRIGHT_LIMIT = 0.10
_LOW_PERCENTILE = 1.0
_HIGH_PERCENTILE = 99.5
_ROUNDS = 2

Gray = npt.NDArray[np.float32] | npt.NDArray[np.uint8]


def prepare(gray: Gray, size: int = PREPARED_SIZE) -> npt.NDArray[np.uint8]:
    """Crop uniform borders, resample to a square by area averaging and normalise the exposure.

    The image is stretched to the square, not padded: much of the public training material reaches us already
    stretched, so padding would teach the network the shape of the frame instead of the person, and the
    augmentation covers unequal scaling of the axes.

    Args:
        gray: (H, W), uint8 or float32 in display polarity (air dark, bone bright), any finite range.
        size: side of the result in pixels.

    Returns:
        uint8 (size, size); 0 is the 1st and 255 the 99.5th percentile. A blank image gives all zeros.

    Raises:
        ImageNotUsable: not two-dimensional, empty, or with values that are not finite.
    """
    if gray.ndim != 2 or min(gray.shape) < 2:
        raise ImageNotUsable(f"An image must have two dimensions of at least 2 pixels, not the shape {gray.shape}.")
    top, bottom, left, right = content_box(gray)
    cropped: Gray = gray[top:bottom, left:right]
    shrinking = min(cropped.shape) >= size
    small = cv2.resize(
        np.ascontiguousarray(cropped), (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    )
    values = small.astype(np.float32)
    low, high = (float(v) for v in np.percentile(values, (_LOW_PERCENTILE, _HIGH_PERCENTILE)))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageNotUsable("The image holds values that are not finite.")
    if high - low < 1e-6 * max(1.0, abs(high)):
        return np.zeros((size, size), dtype=np.uint8)
    scaled = np.clip((values - low) * (255.0 / (high - low)), 0.0, 255.0)
    return np.asarray(np.rint(scaled), dtype=np.uint8)


def content_box(gray: Gray) -> tuple[int, int, int, int]:
    """Find the exposed field: the image without uniform black or white margins (shutters, scanner borders).

    A margin line is taken off only if nearly all of its pixels agree and lie at the end of the grey scale, so
    letters burned into a margin do not keep it, nor does a margin of the other colour that crosses it. Anatomy is
    never cut: at most 30 % a side are dropped when black, 10 % at a time when white (an overexposed abdomen is white
    too).

    Args:
        gray: (H, W), display polarity.

    Returns:
        top, bottom, left, right: slice bounds in pixels of `gray`.
    """
    height, width = gray.shape
    step = (max(1, height // _PROBE_SIDE), max(1, width // _PROBE_SIDE))
    probe = gray[:: step[0], :: step[1]].astype(np.float32)
    low, high = float(probe.min()), float(probe.max())
    if not (np.isfinite(low) and np.isfinite(high)) or high <= low:
        return 0, height, 0, width
    probe = (probe - low) / (high - low)
    box = (0, probe.shape[0], 0, probe.shape[1])
    for _ in range(_ROUNDS):
        box = _tightened(probe, box)
    top, bottom, left, right = box
    return (
        top * step[0],
        height - (probe.shape[0] - bottom) * step[0],
        left * step[1],
        width - (probe.shape[1] - right) * step[1],
    )


def _tightened(probe: npt.NDArray[np.float32], box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Take margins off what the box holds; again after others went, for a margin may have crossed another."""
    top, bottom, left, right = box
    inside = probe[top:bottom, left:right]
    rows, columns = _margins(inside), _margins(inside.T)
    return (
        min(top + rows[0], int(_DARK_LIMIT * probe.shape[0])),
        max(bottom - rows[1], probe.shape[0] - int(_DARK_LIMIT * probe.shape[0])),
        min(left + columns[0], int(_DARK_LIMIT * probe.shape[1])),
        max(right - columns[1], probe.shape[1] - int(_DARK_LIMIT * probe.shape[1])),
    )


def _margins(lines: npt.NDArray[np.float32]) -> tuple[int, int]:
    median = np.median(lines, axis=1)
    agreeing = np.abs(lines - median[:, None]) <= _UNIFORM_TOLERANCE
    uniform = agreeing.mean(axis=1) >= _UNIFORM_SHARE
    dark = uniform & (median <= _EXTREME_TOLERANCE)
    bright = uniform & (median >= 1.0 - _EXTREME_TOLERANCE)
    return _leading(dark, bright), _leading(dark[::-1], bright[::-1])


def _leading(dark: npt.NDArray[np.bool_], bright: npt.NDArray[np.bool_]) -> int:
    chosen, limit = (dark, _DARK_LIMIT) if dark[0] else (bright, _BRIGHT_LIMIT)
    run = len(chosen) if chosen.all() else int(np.argmin(chosen))
    return min(run, int(limit * len(chosen)))
