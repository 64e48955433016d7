"""Radiographs of solids: other body parts built from ellipsoids, by the length that each ray runs through them.

Another way of drawing than `retrieval.phantom.parts`, from which the gate learns: what is drawn here was never
learned from, so the gate's share of errors on it is an honest one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrieval.preprocess import prepare

Vector = tuple[float, float, float]
Image = NDArray[np.uint8]

SIDE = 320
FLESH, BONE, AIR = 0.18, 0.45, -0.18


@dataclass
class Body:
    """Ellipsoids, each with its centre in cm, its quadratic form and its attenuation per cm."""

    parts: list[tuple[NDArray[np.float64], NDArray[np.float64], float]] = field(default_factory=list)

    def ellipsoid(self, centre: ArrayLike, axes: Vector, density: float, along: ArrayLike = (1, 0, 0)) -> None:
        """Add one; where ellipsoids overlap, their attenuations add up."""
        first = np.array(along, dtype=float) / np.linalg.norm(along)
        other = np.array([0.0, 0.0, 1.0]) if abs(first[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
        second = np.cross(other, first)
        second /= np.linalg.norm(second)
        turn = np.stack([first, second, np.cross(first, second)], axis=1)
        self.parts.append((np.array(centre, dtype=float), turn @ np.diag([1 / a**2 for a in axes]) @ turn.T, density))

    def bone(self, start: ArrayLike, end: ArrayLike, radius: float) -> None:
        """Add a long bone with marrow, a head at either end."""
        middle, along = np.add(start, end) / 2, np.subtract(end, start)
        half = float(np.linalg.norm(along)) / 2
        self.ellipsoid(middle, (half * 1.08, radius, radius), BONE, along)
        self.ellipsoid(middle, (half * 0.95, radius * 0.6, radius * 0.6), -0.6 * BONE, along)
        for head in (start, end):
            self.ellipsoid(head, (radius * 1.25, radius * 1.2, radius * 1.2), 0.5 * BONE)

    def radiograph(self, field_of_view: float, rng: np.random.Generator) -> Image:
        """Project along z onto a square of `field_of_view` cm, with pose, noise and tone drawn by chance; prepared."""
        turn, zoom = rng.normal(0, 0.12), rng.uniform(0.85, 1.2)
        u, v = np.meshgrid(*2 * [np.linspace(-0.5, 0.5, SIDE, dtype=np.float32) * field_of_view / zoom])
        x = u * np.cos(turn) - v * np.sin(turn) + rng.normal(0, 0.03) * field_of_view
        y = u * np.sin(turn) + v * np.cos(turn) + rng.normal(0, 0.03) * field_of_view
        total = np.zeros_like(x)
        for (cx, cy, _), form, density in self.parts:
            dx, dy = x - cx, y - cy
            a, b = form[2, 2], form[0, 2] * dx + form[1, 2] * dy
            c = form[0, 0] * dx**2 + 2 * form[0, 1] * dx * dy + form[1, 1] * dy**2 - 1
            total += density * 2 * np.sqrt(np.maximum(b**2 - a * c, 0)) / a
        total = cv2.GaussianBlur(np.maximum(total, 0), (0, 0), rng.uniform(0.6, 1.5))
        tones = (total / max(total.max(), 1e-6)) ** rng.uniform(0.6, 1.2) + rng.normal(0, 0.008, total.shape)
        return prepare(tones.astype(np.float32))

    def slice(self, field_of_view: float, rng: np.random.Generator) -> Image:
        """Cut the body at y = 0 instead, as an axial slice of computed tomography; prepared."""
        x, z = np.meshgrid(*2 * [np.linspace(-0.5, 0.5, SIDE, dtype=np.float32) * field_of_view])
        total = np.zeros_like(x)
        for (cx, cy, cz), form, density in self.parts:
            point = np.stack([x - cx, np.full_like(x, -cy), z - cz], axis=-1)
            total += density * (((point @ form) * point).sum(axis=-1) < 1)
        return prepare((np.clip(total, 0, 0.5) + rng.normal(0, 0.01, x.shape)).astype(np.float32))


def hand(rng: np.random.Generator) -> Image:
    """A hand from the back, fingers spread more or less."""
    body = Body()
    body.ellipsoid((0, 2, 0), (4.0, 5.0, 1.2), FLESH)
    body.ellipsoid((0, 14, 0), (10.0, 2.8, 2.0), FLESH, (0, 1, 0))
    for radius, x in ((0.9, 1.1), (0.7, -1.2)):
        body.bone((x, 8, 0), (x, 22, 0), radius)
    for number in range(9):
        body.ellipsoid((-1.8 + 1.2 * (number % 4), 6 + 0.9 * (number // 4), 0), (0.6, 0.5, 0.5), BONE)
    spread = rng.uniform(0.7, 1.3)
    for angle, length in ((-0.9, 5.0), (-0.3, 8.0), (0.0, 8.8), (0.25, 8.2), (0.5, 6.5)):
        direction = np.array([np.sin(spread * angle), -np.cos(spread * angle), 0.0])
        place = np.array([3.6 * np.sin(angle), 5.5 - 0.5, 0.0])
        for share, radius in ((0.85, 0.45), (0.55, 0.4), (0.35, 0.33), (0.25, 0.28)):
            end = place + direction * length * share
            body.bone(place, end, radius)
            body.ellipsoid((place + end) / 2, (length * share * 0.65, 0.95, 0.8), FLESH, direction)
            place = end + direction * 0.15
    return body.radiograph(27, rng)


def skull(rng: np.random.Generator) -> Image:
    """A head, from the front or from the side."""
    body, side = Body(), rng.random() < 0.5
    wide, deep = (9.3, 7.5) if side else (7.5, 9.3)
    for grow, density in ((0.0, BONE), (-0.6, FLESH - BONE)):
        body.ellipsoid((0, -3, 0), (wide + grow, 8.5 + grow, deep + grow), density)
    body.ellipsoid((-2.0 * side, 12, 0), (10.0, 5.5, 5.5), FLESH, (0, 1, 0))
    for x, y, radius in ((-3.2, 0, 1.8), (3.2, 0, 1.8), (-1.5, 3.0, 1.1), (1.5, 3.0, 1.1), (0, -4, 1.0)):
        body.ellipsoid((x * (0.2 if side else 1) + 6.0 * side, y, 0), (radius, radius * 0.8, 2.5), 1.2 * AIR)
    for angle in np.linspace(-1.3, 1.3, 9):
        x, y = (5 + 3 * np.cos(angle), 6 + angle) if side else (5.5 * np.sin(angle), 8.5 - 3 * abs(angle))
        body.ellipsoid((float(x), float(y), 0), (1.2, 0.9, 1.2), BONE)
    for level in range(6):
        body.ellipsoid((-3.0 * side, 7.5 + 1.9 * level, 0), (1.3, 0.8, 1.3), BONE)
    return body.radiograph(27, rng)


def knee(rng: np.random.Generator) -> Image:
    """A knee, from the front or bent from the side."""
    body, bend = Body(), rng.uniform(0, 0.9) * (rng.random() < 0.5)
    down = np.array([np.sin(bend), np.cos(bend), 0.0])
    for direction, radius in ((np.array([0.0, -1.0, 0.0]), 7.0), (down, 5.5)):
        body.ellipsoid(direction * 9, (20.0, radius, radius), FLESH, direction)
    body.bone((0, -1.8, 0), (0, -24, 0), 1.7)
    body.bone(down * 1.8, down * 24, 1.5)
    body.bone(down * 3 + np.array([2.6, 0, 0]), down * 24 + np.array([2.0, 0, 0]), 0.7)
    for x in (-2.0, 2.0):
        body.ellipsoid((x, -2.0, 0), (2.2, 2.0, 2.5), 0.7 * BONE)
        body.ellipsoid((x, 1.6, 0), (2.2, 1.3, 2.3), 0.7 * BONE)
    body.ellipsoid((rng.normal(0, 1), -3.5, 3.5), (2.2, 2.4, 1.0), 0.6 * BONE)
    return body.radiograph(26, rng)


def pelvis(rng: np.random.Generator) -> Image:
    """Hips and the upper thighs."""
    return _trunk(rng, 0.0).radiograph(40, rng)


def abdomen(rng: np.random.Generator) -> Image:
    """A belly with gas in the bowel, the hips at its lower edge."""
    return _trunk(rng, 17.0).radiograph(40, rng)


def _trunk(rng: np.random.Generator, hips: float) -> Body:
    body = Body()
    body.ellipsoid((0, hips - 12, 0), (rng.uniform(15, 19), 30, 10), FLESH)
    for level in range(9):
        body.ellipsoid((0, hips - 8 - 3.6 * level, -4), (2.3, 1.5, 2.0), BONE)
        body.ellipsoid((0, hips - 8 - 3.6 * level, -7), (0.4, 1.2, 1.5), BONE)
    body.ellipsoid((0, hips - 3, -5), (3.5, 5.0, 1.5), 0.7 * BONE)
    for side in (-1, 1):
        for density, grow in ((BONE, 0.0), (-0.6 * BONE, -0.7)):
            body.ellipsoid((side * 8, hips - 4, -2), (6.0 + grow, 5.0 + grow, 2.5), density, (side, -0.6, 0))
        for angle in np.linspace(0, 2 * np.pi, 10):
            ring = (side * 4.2 + 2.4 * np.cos(angle), hips + 6.5 + 2.0 * np.sin(angle), 0)
            body.ellipsoid(ring, (0.9, 0.9, 0.9), BONE)
        body.ellipsoid((side * 9.5, hips + 3, 0), (2.4, 2.4, 2.4), 0.7 * BONE)
        body.bone((side * 12.0, hips + 5, 0), (side * 11.5, hips + 28, 0), 1.7)
        body.ellipsoid((side * 10, hips + 18, 0), (20.0, 8.5, 8.5), FLESH, (0, 1, 0))
        for rib in range(3):
            body.bone((side * 3, hips - 38 + 3 * rib, -5), (side * 14, hips - 32 + 3 * rib, 0), 0.5)
    for _ in range(int(rng.integers(4, 16))):
        place = (float(rng.uniform(-11, 11)), float(hips + rng.uniform(-30, -4)), float(rng.uniform(-2, 5)))
        body.ellipsoid(place, (float(rng.uniform(0.8, 2.5)), float(rng.uniform(0.7, 1.8)), 1.2), AIR)
    return body


def chest_slice(rng: np.random.Generator) -> Image:
    """An axial slice through the chest."""
    body = Body()
    body.ellipsoid((0, 0, 0), (rng.uniform(15, 19), 30, rng.uniform(10, 13)), 0.25)
    for side in (-1, 1):
        body.ellipsoid((side * rng.uniform(7, 8.5), 0, 0), (rng.uniform(4.5, 6), 12, rng.uniform(7, 9)), -0.22)
        for angle in np.linspace(-1.2, 1.2, 6):
            place = (float(side * 15 * np.cos(angle)), float(rng.normal(0, 1)), float(10 * np.sin(angle)))
            body.ellipsoid(place, (1.2, 0.8, 0.5), 0.3)
    body.ellipsoid((2, 0, 3), (4.5, 5, 4), 0.12)
    body.ellipsoid((0, 0, -7), (2, 2, 1.8), 0.3)
    return body.slice(float(rng.uniform(34, 44)), rng)


SOLIDS: dict[str, Callable[[np.random.Generator], Image]] = {
    "hand": hand,
    "skull": skull,
    "knee": knee,
    "pelvis": pelvis,
    "abdomen": abdomen,
    "chest slice": chest_slice,
}
"""Functions of a source of chance that return a prepared image uint8 (320, 320), by name."""
