"""Frontal chests made wrong on purpose, one way for each kind of wrong image that the gate tells apart."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from retrieval.gate import Seen
from retrieval.preprocess import prepare

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]


def spoil(images: Images, kind: Seen, rng: np.random.Generator) -> Images:
    """Make a wrong image of one kind from each frontal chest.

    Args:
        images: uint8 (n, h, w), prepared.
        kind: TURNED, INVERTED, PARTIAL, POOR, or OTHER (upside down, in pieces).
        rng: source of chance.

    Returns:
        uint8 (n, h, w), prepared like any other image.
    """
    ways = _WAYS[kind]
    return np.stack([prepare(ways[rng.integers(len(ways))](image, rng), image.shape[0]) for image in images])


def _turned(image: Images, rng: np.random.Generator) -> Images:
    return np.ascontiguousarray(np.rot90(_tilted(image, rng), int(rng.integers(1, 4))))


def _tilted(image: Images, rng: np.random.Generator) -> Images:
    side = image.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.normal(0, 5)), float(rng.uniform(0.95, 1.15)))
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), borderMode=border), dtype=np.uint8)


def _inverted(image: Images, rng: np.random.Generator) -> Images:
    negative = 1 - image / np.float32(255)
    return np.asarray(255 * negative ** np.float32(rng.uniform(0.5, 2.0)), dtype=np.uint8)


def _upside_down(image: Images, rng: np.random.Generator) -> Images:
    return np.ascontiguousarray(_tilted(image, rng)[::-1])


def _corner(image: Images, rng: np.random.Generator) -> Images:
    height, width = (int(image.shape[0] * share) for share in rng.uniform(0.2, 0.5, 2))
    top, left = rng.integers(0, image.shape[0] - max(height, width), 2)
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def _one_lung(image: Images, rng: np.random.Generator) -> Images:
    middle = image.shape[1] // 2 + int(rng.integers(-20, 21) * image.shape[1] / 320)
    return np.ascontiguousarray(image[:, :middle] if rng.random() < 0.5 else image[:, middle:])


def _shoulders_or_belly(image: Images, rng: np.random.Generator) -> Images:
    side = image.shape[0]
    share = int(side * rng.uniform(0.2, 0.42))
    return np.ascontiguousarray(image[:share] if rng.random() < 0.5 else image[side - share :])


def _in_pieces(image: Images, rng: np.random.Generator) -> Images:
    count = int(rng.choice((2, 3, 4)))
    side = image.shape[0] // count
    tiles = [image[y * side : (y + 1) * side, x * side : (x + 1) * side] for y in range(count) for x in range(count)]
    order = rng.permutation(len(tiles))
    return np.vstack([np.hstack([tiles[i] for i in order[y * count : (y + 1) * count]]) for y in range(count)])


def _blurred(image: Images, rng: np.random.Generator) -> Images:
    sigma = float(rng.uniform(9, 30)) * image.shape[0] / 320
    return _noisy(np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.uint8), float(rng.uniform(0, 3)), rng)


def _drowned(image: Images, rng: np.random.Generator) -> Images:
    """So little exposure that noise covers the anatomy."""
    return _noisy(np.asarray(image * 0.3, dtype=np.float32), float(rng.uniform(50, 150)), rng)


def _clipped(image: Images, rng: np.random.Generator) -> Images:
    """Nearly everything black or nearly everything white."""
    cut = float(np.quantile(image, rng.uniform(0.82, 0.95) if rng.random() < 0.5 else rng.uniform(0.05, 0.18)))
    steep = (image.astype(np.float32) - cut) * rng.uniform(3, 20) + 128
    return np.asarray(np.clip(steep, 0, 255), dtype=np.uint8)


def _covered(image: Images, rng: np.random.Generator) -> Images:
    """A shutter or a plate over most of it."""
    side = image.shape[0]
    covered = np.full_like(image, int(rng.choice((0, 255, int(rng.integers(0, 256))))))
    height, width = (int(side * share) for share in rng.uniform(0.2, 0.5, 2))
    top, left = int(rng.integers(0, side - height)), int(rng.integers(0, side - width))
    window = np.s_[top : top + height, left : left + width]
    covered[window] = image[window]
    return covered


def _noisy(values: Floats | Images, deviation: float, rng: np.random.Generator) -> Images:
    return np.asarray(np.clip(values + rng.normal(0, deviation, values.shape), 0, 255), dtype=np.uint8)


_WAYS: dict[Seen, tuple[Callable[[Images, np.random.Generator], Images], ...]] = {
    Seen.TURNED: (_turned,),
    Seen.INVERTED: (_inverted,),
    Seen.PARTIAL: (_corner, _one_lung, _shoulders_or_belly),
    Seen.POOR: (_blurred, _drowned, _clipped, _covered),
    Seen.OTHER: (_upside_down, _in_pieces),
}
