"""From body coordinates in cm to image pixels, and the drawing of projected shapes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from retrieval.phantom.exam import Exam

Points = NDArray[np.float64]
Map = NDArray[np.float32]

_SUBPIXEL_BITS = 4


class Projection:
    """Cone-beam projection of one exam onto a square detector of `size` pixels a side."""

    def __init__(self, exam: Exam, size: int, *, turn: float = 0.0) -> None:
        self.size = size
        self.scale = size / exam.field
        yaw = exam.yaw + turn
        self._yaw = np.array([np.cos(yaw), np.sin(yaw)])
        self._pitch = np.array([np.cos(exam.pitch), np.sin(exam.pitch)])
        self._roll = np.array([np.cos(exam.roll), np.sin(exam.roll)])
        self._shift = np.array([exam.shift_x, exam.shift_y])
        self._source = exam.view.source_distance
        self._front = 1.0 if exam.view.value == "PA" else -1.0

    def __call__(self, points: Points) -> Points:
        """Pixel positions (n, 2) of body points (n, 3) or, at mid depth, (n, 2), in cm."""
        x, y = points[:, 0], points[:, 1]
        z = points[:, 2] if points.shape[1] == 3 else np.zeros_like(x)
        across = x * self._yaw[0] + z * self._yaw[1]
        depth = z * self._yaw[0] - x * self._yaw[1]
        down = y * self._pitch[0] + depth * self._pitch[1]
        magnification = (self._source - 14.0) / (self._source - 14.0 + self._front * depth)
        across = across * magnification
        down = down * magnification
        turned_x = across * self._roll[0] - down * self._roll[1] + self._shift[0]
        turned_y = across * self._roll[1] + down * self._roll[0] + self._shift[1]
        return np.stack([turned_x, turned_y], axis=1) * self.scale + self.size / 2.0


class Canvas:
    """An 8-bit layer (size, size) on which one kind of tissue is drawn antialiased, 0 to 255."""

    def __init__(self, projection: Projection) -> None:
        self._project = projection
        self.pixels = np.zeros((projection.size, projection.size), dtype=np.uint8)

    def fill(self, outline: Points, value: float) -> None:
        """Fill a closed outline given in body coordinates (n, 2 or 3) with `value` in [0, 1]."""
        cv2.fillPoly(self.pixels, [self._fixed(outline)], _grey(value), cv2.LINE_AA, _SUBPIXEL_BITS)

    def stroke(self, line: Points, width: float, value: float, *, closed: bool = False) -> None:
        """Draw a line of `width` cm; lines thinner than a pixel are drawn fainter instead."""
        pixels = width * self._project.scale
        value *= min(pixels, 1.0)
        thickness = max(1, round(pixels))
        cv2.polylines(self.pixels, [self._fixed(line)], closed, _grey(value), thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def smooth(self, sigma: float) -> Map:
        """The layer as float32 in [0, 1], blurred by `sigma` cm."""
        layer = self.pixels.astype(np.float32)
        layer *= np.float32(1.0 / 255.0)
        return blur(layer, sigma * self._project.scale)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        pixels = np.clip(self._project(points) - 0.5, -4000.0, 8000.0)
        return np.round(pixels * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _grey(value: float) -> tuple[int, int, int]:
    level = int(np.clip(round(value * 255.0), 0, 255))
    return level, level, level


def blur(layer: Map, sigma: float) -> Map:
    """Gaussian blur by `sigma` pixels; wide ones are computed on a reduced copy."""
    if sigma < 0.3:
        return layer
    side = layer.shape[0]
    step = 1
    while sigma / step > 4.0 and side // (2 * step) >= 32:
        step *= 2
    if step == 1:
        return np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma), dtype=np.float32)
    small = cv2.resize(layer, (side // step, side // step), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / step)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def dome(mask: Map, sigma: float) -> Map:
    """Thickness of a rounded body over its silhouette: 0 at the edge, 1 deep inside, like an ellipsoid.

    Args:
        mask: float32 (size, size) in [0, 1], the silhouette.
        sigma: pixels over which the body curves away.
    """
    side = mask.shape[0]
    small = min(side, 192)
    reduced = cv2.resize(mask, (small, small), interpolation=cv2.INTER_AREA)
    wide = blur(np.asarray(reduced, dtype=np.float32), sigma * small / side)
    height = np.sqrt(np.clip(2.0 * wide - 0.9, 0.0, 1.0)).astype(np.float32)
    height = np.asarray(cv2.GaussianBlur(height, (0, 0), 0.8), dtype=np.float32)
    return np.asarray(cv2.resize(height, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
