"""Changes to an image that leave the person as it is, and two that leave everything but the person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

_CORNER, _EDGE = 0.16, 0.05
_MARGIN = 0.22
_BRIGHT, _CONTRAST = 110, 50
_STEEP, _SHARP_SHARE = 0.6, 0.6
_SMALLEST, _LARGEST, _LONGEST = 0.00008, 0.006, 0.14
_COLLIMATION = 0.08
_GAMMA = 1.8
_CLIP, _TILES = 3.0, (8, 8)
_COARSE, _QUALITY = 128, 40
_LUNGS = (0.44, 0.46)
_STRIP = 0.07


@dataclass(frozen=True)
class Change:
    """One change of an image.

    Attributes:
        name: short, for files. title: for tables and pictures.
        keeps_person: recognition should stay; otherwise only the surroundings are left and it should fall to chance.
        apply: prepared image uint8 (h, w) and a random generator to a new one of the same shape.
    """

    name: str
    title: str
    keeps_person: bool
    apply: Callable[[Image, np.random.Generator], Image]


def changed(images: npt.NDArray[np.uint8], change: Change, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Change every image of uint8 (n, h, w), each with random numbers of its own."""
    return np.stack([change.apply(image, np.random.default_rng([seed, i])) for i, image in enumerate(images)])


def letter_mask(image: Image) -> npt.NDArray[np.bool_]:
    """Small bright marks near the border (side letters, clips, dates): bool (h, w), where they are.

    A mark is bright, stands out from its surroundings (white top-hat), is no longer than 14 % of the side, lies within
    the outer 22 %, and has a sharper outline than anatomy: on most of it, most of the mark's contrast is gained within
    two pixels. Thin wires are often taken along, ribs seen edge-on rarely.

    Args:
        image: uint8 (h, w), prepared.
    """
    height, width = image.shape
    reach = round(_LONGEST * min(height, width)) // 2 | 1
    stands_out = cv2.morphologyEx(image, cv2.MORPH_TOPHAT, np.ones((reach, reach), np.uint8))
    steep = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    bright = ((image >= _BRIGHT) & (stands_out >= _CONTRAST)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(bright)
    inner = cv2.erode(bright, np.ones((3, 3), np.uint8))
    mask = np.zeros((height, width), dtype=np.bool_)
    for i in range(1, count):
        mark = labels == i
        outline = mark & (inner == 0)
        contrast = float(np.percentile(stands_out[mark], 75))
        if _is_placed(stats[i], height, width) and (steep[outline] >= _STEEP * contrast).mean() >= _SHARP_SHARE:
            mask |= mark
    return mask


def _is_placed(box: npt.NDArray[np.int32], height: int, width: int) -> bool:
    left, top, wide, high, area = (int(value) for value in box)
    x, y = (left + wide / 2) / width, (top + high / 2) / height
    outside = min(x, y, 1 - x, 1 - y) < _MARGIN
    sized = _SMALLEST * height * width <= area <= _LARGEST * height * width
    return outside and sized and max(wide / width, high / height) <= _LONGEST


def _without_letters(image: Image, _: np.random.Generator) -> Image:
    mask = cv2.dilate(letter_mask(image).astype(np.uint8), np.ones((7, 7), np.uint8))
    return np.asarray(cv2.inpaint(image, mask, 4, cv2.INPAINT_TELEA), dtype=np.uint8)


def _without_corners(image: Image, _: np.random.Generator) -> Image:
    side = round(_CORNER * image.shape[0])
    edge = round(_EDGE * image.shape[0])
    erased = _within_frame(image, edge, fill=int(np.median(image)))
    for rows in (slice(None, side), slice(-side, None)):
        for columns in (slice(None, side), slice(-side, None)):
            erased[rows, columns] = int(np.median(image))
    return erased


def _collimated(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape
    top, bottom, left, right = rng.uniform(0, _COLLIMATION, 4)
    cut = image[
        round(top * height) : height - round(bottom * height), round(left * width) : width - round(right * width)
    ]
    return np.asarray(cv2.resize(np.ascontiguousarray(cut), (width, height), interpolation=cv2.INTER_LINEAR))


def _exposed(image: Image, rng: np.random.Generator) -> Image:
    gamma = _GAMMA ** rng.uniform(-1, 1)
    return np.asarray(np.rint(255 * (image / 255) ** gamma), dtype=np.uint8)


def _equalised(image: Image, _: np.random.Generator) -> Image:
    return np.asarray(cv2.createCLAHE(_CLIP, _TILES).apply(image), dtype=np.uint8)


def _coarse(image: Image, _: np.random.Generator) -> Image:
    small = cv2.resize(image, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA)
    _done, packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    opened = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    return np.asarray(cv2.resize(opened, image.shape[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _surroundings(image: Image, _: np.random.Generator) -> Image:
    height, width = image.shape
    masked = image.copy()
    axes = (round(_LUNGS[0] * width), round(_LUNGS[1] * height))
    cv2.ellipse(masked, (width // 2, height // 2), axes, 0, 0, 360, 0, thickness=-1)
    return masked


def _border(image: Image, _: np.random.Generator) -> Image:
    strip = round(_STRIP * image.shape[0])
    masked = image.copy()
    masked[strip:-strip, strip:-strip] = 0
    return masked


def _within_frame(image: Image, edge: int, fill: int) -> Image:
    framed = np.full_like(image, fill)
    framed[edge:-edge, edge:-edge] = image[edge:-edge, edge:-edge]
    return framed


CHANGES: Sequence[Change] = (
    Change("corners", "corners and edges erased", True, _without_corners),
    Change("letters", "letters found and painted over", True, _without_letters),
    Change("collimation", "each side cropped by 0 to 8 %", True, _collimated),
    Change("exposure", "random gamma, 0.56 to 1.8", True, _exposed),
    Change("equalised", "contrast equalised (CLAHE)", True, _equalised),
    Change("coarse", "128 pixels a side, JPEG quality 40", True, _coarse),
    Change("surroundings", "only what is around the lungs", False, _surroundings),
    Change("border", "only a border strip of 7 %", False, _border),
)
