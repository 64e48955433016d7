"""Pictures that reach a node and are no radiographs: slices, ultrasound, screens of text, scenes, test patterns."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from retrieval.phantom.frontal import check_size
from retrieval.phantom.projection import Map


def picture(kind: str, rng: np.random.Generator, size: int = 512) -> Map:
    """Draw a picture that is no radiograph.

    Args:
        kind: one of `PICTURES`. rng: source of chance. size: pixels a side, 64 to 4096.

    Returns:
        float32 (size, size) in [0, 1].

    Raises:
        PhantomValueError: `size` out of range.
    """
    check_size(size)
    drawn = PICTURES[kind](rng, size)
    low, high = float(drawn.min()), float(drawn.max())
    return np.asarray((drawn - low) / max(high - low, 1e-6), dtype=np.float32)


def _grid(size: int) -> tuple[Map, Map]:
    across = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(across, across)
    return np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float32)


def _grain(rng: np.random.Generator, size: int, sigma: float) -> Map:
    """Smooth noise of unit deviation; `sigma` in pixels of a 512-pixel image."""
    step = max(1, int(sigma / 4))
    field = rng.standard_normal((size // step + 1, size // step + 1), dtype=np.float32)
    smooth = cv2.GaussianBlur(field, (0, 0), max(sigma / step * size / 512, 0.3))
    whole = cv2.resize(smooth, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole / max(float(whole.std()), 1e-6), dtype=np.float32)


def _disc(x: Map, y: Map, centre: tuple[float, float], radii: tuple[float, float]) -> Map:
    distance = np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])
    return np.asarray(np.clip((1 - distance) * 25, 0, 1), dtype=np.float32)


def _slice(rng: np.random.Generator, size: int) -> Map:
    """An axial slice: a body or head with organs, lungs or a ring of bone, on black or grey."""
    x, y = _grid(size)
    wide, high = rng.uniform(0.6, 0.97), rng.uniform(0.5, 0.95)
    body = _disc(x, y, (0, 0), (wide, high))
    values = body * rng.uniform(0.35, 0.7) + 0.02 * _grain(rng, size, rng.uniform(0.5, 3)) * body
    kind = rng.integers(3)
    if kind == 0:
        for side in (-1, 1):
            values = values * (1 - _disc(x, y, (side * wide * 0.48, -0.05), (wide * 0.36, high * 0.62)) * 0.95)
        values += 0.25 * _disc(x, y, (0.08, -0.15), (wide * 0.25, high * 0.3))
    elif kind == 1:
        values += 0.6 * (body - _disc(x, y, (0, 0), (wide * 0.93, high * 0.93)))
        for side in (-1, 1):
            values -= 0.2 * _disc(x, y, (side * 0.12, -0.05), (0.07, rng.uniform(0.15, 0.35)))
    else:
        values += 0.15 * _disc(x, y, (-wide * 0.4, -0.1), (wide * 0.45, high * 0.5))
    for _ in range(rng.integers(4, 14)):
        place = (float(rng.uniform(-0.6, 0.6) * wide), float(rng.uniform(-0.6, 0.6) * high))
        radii = (float(rng.uniform(0.03, 0.2)), float(rng.uniform(0.03, 0.2)))
        values += rng.normal(0, 0.15) * _disc(x, y, place, radii) * body
    values += 0.5 * _disc(x, y, (0, high * 0.55), (0.13, 0.12)) * (rng.random() < 0.8)
    return np.asarray(np.maximum(values, 0.0), dtype=np.float32)


def _ultrasound(rng: np.random.Generator, size: int) -> Map:
    x, y = _grid(size)
    depth, angle = np.hypot(x, y + 1.05), np.arctan2(x, y + 1.05)
    tissue = np.exp(0.9 * _grain(rng, size, rng.uniform(8, 40)) + 0.7 * _grain(rng, size, rng.uniform(1, 3)))
    sector = (np.abs(angle) < rng.uniform(0.4, 0.8)) & (depth > 0.15) & (depth < rng.uniform(1.5, 2.0))
    if rng.random() < 0.3:
        sector = (np.abs(x) < rng.uniform(0.5, 0.8)) & (np.abs(y) < rng.uniform(0.5, 0.9))
    values = np.clip(tissue * sector, 0, 5).astype(np.float32)
    return np.asarray(np.maximum(values, 5 * _letters(rng, size, int(rng.integers(0, 5)))), dtype=np.float32)


def _text(rng: np.random.Generator, size: int) -> Map:
    """A screen or form: lines of letters, a few frames, sometimes a curve."""
    values = _letters(rng, size, int(rng.integers(5, 25)))
    for _ in range(rng.integers(0, 4)):
        corners = [(int(v[0]), int(v[1])) for v in rng.integers(0, size, (2, 2))]
        cv2.rectangle(values, corners[0], corners[1], (float(rng.uniform(0.3, 1)),), int(rng.integers(1, 4)))
    if rng.random() < 0.3:
        across = np.arange(size)
        curve = size / 2 + np.cumsum(rng.normal(0, 4, size))
        cv2.polylines(values, [np.stack([across, curve], axis=1).astype(np.int32)], False, (0.8,), 2)
    return np.asarray(1 - values if rng.random() < 0.5 else values, dtype=np.float32)


def _letters(rng: np.random.Generator, size: int, lines: int) -> Map:
    """Lines of letters (size, size) in [0, 1]."""
    drawn = np.zeros((size, size), dtype=np.uint8)
    for _ in range(lines):
        letters = "".join(chr(rng.integers(32, 123)) for _ in range(rng.integers(3, 30)))
        place = (int(rng.integers(0, size // 2)), int(rng.integers(10, size)))
        cv2.putText(drawn, letters, place, int(rng.integers(0, 5)), float(rng.uniform(0.4, 1.2)), (255,), 1)
    return np.asarray(drawn / np.float32(255), dtype=np.float32)


def _scene(rng: np.random.Generator, size: int) -> Map:
    """Like a photograph: shaded things before each other, structure at every scale, a light from one side."""
    x, y = _grid(size)
    values = sum(
        (sigma**0.8 * _grain(rng, size, sigma) for sigma in (1.0, 3.0, 9.0, 27.0, 80.0)), np.zeros_like(x)
    ) * np.float32(rng.uniform(0.2, 1.0))
    for _ in range(rng.integers(2, 25)):
        corners = rng.uniform(-0.2, 1.2, 2) * size + rng.normal(0, rng.uniform(20, 150), (rng.integers(3, 9), 2))
        mask = np.zeros((size, size), dtype=np.float32)
        cv2.fillPoly(mask, [corners.astype(np.int32)], (1.0,), cv2.LINE_AA)
        shade = rng.normal(0, 30) + rng.normal(0, 15) * x + rng.normal(0, 15) * y
        values = values * (1 - mask) + mask * (shade + rng.uniform(0, 8) * _grain(rng, size, rng.uniform(1, 20)))
    return np.asarray(values + rng.normal(0, 10) * x, dtype=np.float32)


def _pattern(rng: np.random.Generator, size: int) -> Map:
    """Noise, gradients, bars, steps or a disc, as in test images and phantoms for quality control."""
    x, y = _grid(size)
    kind = int(rng.integers(6))
    if kind == 0:
        return rng.standard_normal((size, size), dtype=np.float32)
    if kind == 1:
        return _grain(rng, size, float(rng.uniform(2, 40)))
    if kind == 2:
        return np.asarray(x * rng.normal() + y * rng.normal(), dtype=np.float32)
    if kind == 3:
        return np.sin(x * rng.uniform(-40, 40) + y * rng.uniform(-40, 40), dtype=np.float32)
    if kind == 4:
        cells = rng.random((rng.integers(1, 9), rng.integers(2, 9))).astype(np.float32)
        return np.asarray(cv2.resize(cells, (size, size), interpolation=cv2.INTER_NEAREST), dtype=np.float32)
    radius = float(rng.uniform(0.2, 0.9))
    place = (float(rng.uniform(-0.4, 0.4)), float(rng.uniform(-0.4, 0.4)))
    return 4 * _disc(x, y, place, (radius, radius)) + _grain(rng, size, 1.0)


PICTURES: dict[str, Callable[[np.random.Generator, int], Map]] = {
    "slice": _slice,
    "ultrasound": _ultrasound,
    "text": _text,
    "scene": _scene,
    "pattern": _pattern,
}
"""What can be drawn, by name."""
