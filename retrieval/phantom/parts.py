"""Radiographs of other parts of the body, drawn like the chest: hand, limb, skull, abdomen, pelvis, neck, breast."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from retrieval.phantom.anatomy import ellipse
from retrieval.phantom.exam import Exam, random_exam
from retrieval.phantom.film import expose
from retrieval.phantom.frontal import check_size
from retrieval.phantom.projection import Canvas, Map, Points, Projection, dome

_TISSUE, _BONE, _CORTEX, _GAS = 0.19, 0.55, 0.35, 0.9
_FINGERS = ((-0.50, 6.2), (-0.18, 7.6), (0.06, 8.2), (0.26, 7.4), (0.52, 5.8))


def body_part(part: str, rng: np.random.Generator, size: int = 512) -> Map:
    """Draw a radiograph that is no chest.

    Args:
        part: one of `PARTS`.
        rng: source of chance; anatomy, pose and exposure are drawn from it.
        size: pixels a side, 64 to 4096.

    Returns:
        float32 (size, size) in [0, 1]: air dark, bone bright.

    Raises:
        PhantomValueError: `size` out of range.
    """
    check_size(size)
    field, draw = PARTS[part]
    exam = dataclasses.replace(
        random_exam(rng),
        field=float(field * rng.uniform(0.85, 1.2)),
        roll=float(rng.normal(0, 0.12)),
        shift_x=float(rng.normal(0, 0.03 * field)),
        shift_y=float(rng.normal(0, 0.03 * field)),
    )
    layers = _Layers(exam, size)
    draw(layers, rng)
    return layers.exposed(exam)


class _Layers:
    """Soft tissue, bone and gas of one exposure, in cm from the middle of the image."""

    def __init__(self, exam: Exam, size: int) -> None:
        projection = Projection(exam, size)
        self.scale = projection.scale
        self.body, self.bone, self.cortex, self.gas = (Canvas(projection) for _ in range(4))
        self.thickness = 4.0

    def shaft(self, line: Points, width: float) -> None:
        """A long bone: dense rims, wider ends."""
        self.bone.stroke(line, width, 0.6)
        along = line[-1] - line[0]
        normal = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6) * width * 0.42
        for edge in (line + normal, line - normal):
            self.cortex.stroke(edge, width * 0.16, 0.8)
        for end in (line[0], line[-1]):
            self.bone.fill(ellipse(end[0], end[1], width * 0.72, width * 0.62), 0.7)

    def block(self, x: float, y: float, width: float, height: float) -> None:
        """A vertebra."""
        corners = np.array([(-1, -1), (1, -1), (0.88, 0), (1, 1), (-1, 1), (-0.88, 0)]) / 2
        outline = corners * np.array([width, height]) + np.array([x, y])
        self.bone.fill(outline, 0.7)
        self.cortex.stroke(outline, 0.2, 0.7, closed=True)

    def exposed(self, exam: Exam) -> Map:
        body = self.body.smooth(0.15)
        attenuation = dome(body, 0.35 * self.thickness * self.scale) * body * np.float32(_TISSUE * self.thickness)
        attenuation += self.bone.smooth(0.08) * np.float32(_BONE)
        attenuation += self.cortex.smooth(0.04) * np.float32(_CORTEX)
        attenuation -= self.gas.smooth(0.25) * np.float32(_GAS)
        np.maximum(attenuation, 0.0, out=attenuation)
        return expose(np.asarray(attenuation, dtype=np.float32), np.zeros_like(body), body, exam)


def _line(x: float, y: float, angle: float, length: float) -> Points:
    """From (x, y), `length` cm in the direction `angle` (0 upwards)."""
    return np.array([(x, y), (x + length * np.sin(angle), y - length * np.cos(angle))])


def _hand(layers: _Layers, rng: np.random.Generator) -> None:
    layers.thickness = float(rng.uniform(2, 3))
    spread = rng.uniform(0.6, 1.2)
    side = rng.choice((-1.0, 1.0))
    layers.body.fill(ellipse(0, 3.5, 4.1, 4.8), 1.0)
    layers.body.stroke(np.array([(0.0, 6.0), (0.0, 20.0)]), 5.6, 1.0)
    for angle, length in _FINGERS:
        angle = float(side * spread * angle + rng.normal(0, 0.04))
        start = np.array([5.4 * np.sin(angle * 0.9), 3.8 - 4.0 * np.cos(angle)])
        layers.shaft(np.array([start, (start[0] * 0.45, 5.6)]), 0.85)
        whole = _line(start[0], start[1] - 0.4, angle, length)
        layers.body.stroke(whole, 1.9, 1.0)
        joints = np.array([0.0, 0.52, 0.82, 1.0])
        for a, b in itertools.pairwise(joints):
            bone = whole[0] + (whole[1] - whole[0]) * np.array([[a + 0.03], [b - 0.03]])
            layers.shaft(bone, 0.75 - 0.25 * a)
    for _ in range(8):
        layers.bone.fill(ellipse(rng.uniform(-1.8, 1.8), rng.uniform(6.0, 7.8), 0.7, 0.6, rng.uniform(0, 3)), 0.75)
    layers.shaft(np.array([(0.9, 9.0), (0.9, 22.0)]), 1.8)
    layers.shaft(np.array([(-1.3, 9.4), (-1.3, 22.0)]), 1.2)


def _limb(layers: _Layers, rng: np.random.Generator) -> None:
    """Knee, elbow, ankle, thigh or forearm: one or two long bones above and below a joint."""
    layers.thickness = float(rng.uniform(5, 12))
    width = layers.thickness * rng.uniform(0.25, 0.33)
    joint, bend = rng.uniform(-12, 12), rng.normal(0, 0.5) * (rng.random() < 0.5)
    for angle, lower in ((0.0, False), (np.pi + bend, True)):
        trunk = _line(0, joint, angle, 40)
        layers.body.stroke(trunk, layers.thickness * rng.uniform(0.8, 1.2), 1.0)
        start = trunk[0] + (trunk[1] - trunk[0]) * 0.02
        if lower and rng.random() < 0.7:
            aside = np.array([width * 1.1, 0])
            layers.shaft(np.array([start - aside * 0.4, trunk[1] - aside * 0.4]), width)
            layers.shaft(np.array([start + aside, trunk[1] + aside]), width * 0.5)
        else:
            layers.shaft(np.array([start, trunk[1]]), width)
    if rng.random() < 0.5:
        layers.bone.fill(ellipse(rng.normal(0, 0.5), joint - width, width * 0.7, width * 0.7), 0.5)


def _skull(layers: _Layers, rng: np.random.Generator) -> None:
    layers.thickness = 15.0
    a, b = rng.uniform(6.8, 8.0), rng.uniform(8.5, 10.5)
    frontal = rng.random() < 0.5
    wide = a if frontal else b * 1.05
    vault = ellipse(0, -3, wide, b)
    layers.body.fill(ellipse(0, -3, wide + 0.6, b + 0.6), 1.0)
    layers.body.stroke(np.array([(0.0, 4.0), (0.0, 20.0)]), 10.0, 1.0)
    layers.bone.fill(vault, 0.6)
    for grow in (0.0, 0.5):
        layers.cortex.stroke(ellipse(0, -3, wide - grow, b - grow), 0.4, 1.0, closed=True)
    if frontal:
        for side in (-1, 1):
            layers.gas.fill(ellipse(side * 3.2, 0.5, 1.7, 1.5), 0.45)
            layers.gas.fill(ellipse(side * 2.6, 3.6, 1.3, 1.6), 0.55)
            layers.cortex.stroke(ellipse(side * 3.2, 0.5, 1.9, 1.7), 0.3, 1.0, closed=True)
        layers.gas.fill(ellipse(0, 3.0, 0.8, 2.0), 0.6)
        jaw = np.array([(-5.5, 3.0), (-5.0, 7.5), (-2.0, 10.0), (2.0, 10.0), (5.0, 7.5), (5.5, 3.0)])
    else:
        layers.gas.fill(ellipse(wide * 0.75, 3.5, 1.8, 1.5), 0.6)
        layers.gas.fill(ellipse(wide * 0.8, -4.0, 0.6, 1.2), 0.6)
        layers.cortex.stroke(ellipse(1.0, 1.5, 1.0, 0.7), 0.3, 1.0, closed=True)
        jaw = np.array([(1.0, 3.0), (2.5, 7.5), (wide * 0.9, 9.5), (wide, 8.0)])
    layers.bone.stroke(jaw, 1.6, 0.8)
    for tooth in np.linspace(-2.4, 2.4, 9):
        x = tooth if frontal else wide * 0.75 + tooth * 0.5
        layers.cortex.fill(ellipse(x, 6.4 + 0.08 * tooth**2, 0.25, 0.9), 1.0)
    for level in range(6):
        layers.block(0.0 if frontal else -2.0, 8.0 + 1.7 * level, 2.4, 1.3)


def _spine(layers: _Layers, rng: np.random.Generator, top: float, bottom: float) -> None:
    height = rng.uniform(2.9, 3.7)
    bow = rng.normal(0, 0.6)
    for level, y in enumerate(np.arange(top, bottom, height)):
        x = float(bow * np.sin(y / 9.0))
        layers.block(x, float(y), 4.0 + 0.1 * level, height * 0.85)
        for side in (-1, 1):
            layers.bone.stroke(_line(x + side * 2, float(y), side * np.pi / 2, rng.uniform(1.5, 2.5)), 0.9, 0.5)
        layers.cortex.fill(ellipse(x, float(y) + 0.8, 0.3, 0.8), 0.9)


def _hips(layers: _Layers, rng: np.random.Generator, y: float) -> None:
    wide = rng.uniform(12, 14.5)
    for side in (-1.0, 1.0):
        wing = np.array([(3.0, -9.0), (7.0, -11.0), (wide, -8.0), (wide - 1.5, -3.0), (8.0, 1.0), (4.5, -2.0)])
        outline = wing * np.array([side, 1.0]) + np.array([0.0, y])
        layers.bone.fill(outline, 0.55)
        layers.cortex.stroke(outline, 0.35, 0.8, closed=True)
        layers.cortex.stroke(ellipse(side * 4.0, y + 5.5, 2.6, 1.9, side * 0.6), 1.0, 0.9, closed=True)
        layers.bone.fill(ellipse(side * 9.5, y + 2.2, 2.5, 2.5), 0.8)
        layers.bone.stroke(np.array([(side * 9.5, y + 2.2), (side * 13.0, y + 5.0)]), 2.8, 0.7)
        layers.shaft(np.array([(side * 13.0, y + 5.0), (side * 12.0, y + 30.0)]), 3.0)
    layers.bone.fill(np.array([(-3.5, y - 8.0), (3.5, y - 8.0), (1.5, y), (-1.5, y)]), 0.7)


def _abdomen(layers: _Layers, rng: np.random.Generator) -> None:
    layers.thickness = float(rng.uniform(17, 25))
    half = rng.uniform(13, 18)
    waist = np.array([(-half, -30), (half, -30), (half * 0.93, -5), (half * 1.05, 30), (-half * 1.05, 30)])
    layers.body.fill(np.concatenate([waist, [(-half * 0.93, -5)]]), 1.0)
    _spine(layers, rng, -22, 8)
    _hips(layers, rng, 15.0)
    for _ in range(rng.integers(3, 25)):
        x, y = rng.uniform(-0.8, 0.8) * half, rng.uniform(-14, 16)
        layers.gas.fill(ellipse(x, y, rng.uniform(0.6, 3.0), rng.uniform(0.6, 2.0), rng.uniform(0, 3)), 0.6)
    if rng.random() < 0.6:
        for side in (-1.0, 1.0):
            for level in range(3):
                rib = np.array([(2.0, -20.0), (9.0, -18.0), (half * 0.92, -12.0)]) + np.array([0.0, 3.0 * level])
                layers.bone.stroke(rib * np.array([side, 1.0]), 1.0, 0.35)


def _pelvis(layers: _Layers, rng: np.random.Generator) -> None:
    layers.thickness = float(rng.uniform(16, 22))
    layers.body.fill(ellipse(0, -6, rng.uniform(16, 20), 26), 1.0)
    for side in (-1.0, 1.0):
        layers.body.stroke(np.array([(side * 9.0, 6.0), (side * 10.0, 40.0)]), 15.0, 1.0)
    _spine(layers, rng, -20, -7)
    _hips(layers, rng, 0.0)
    for _ in range(rng.integers(0, 9)):
        layers.gas.fill(ellipse(rng.uniform(-8, 8), rng.uniform(-14, -2), rng.uniform(0.6, 2), 1.0), 0.6)


def _neck(layers: _Layers, rng: np.random.Generator) -> None:
    """Cervical or lumbar spine from the side or from the front."""
    layers.thickness = float(rng.uniform(10, 24))
    layers.body.stroke(np.array([(0.0, -40.0), (0.0, 40.0)]), layers.thickness, 1.0)
    bow, height = rng.normal(0, 2.5), rng.uniform(1.7, 3.6)
    for y in np.arange(-16, 16, height * 1.1):
        x = float(bow * np.cos(y / 10))
        layers.block(x, float(y), height * 1.1, height * 0.85)
        layers.bone.stroke(_line(x - height * 0.6, float(y), -1.9, height * 1.2), height * 0.35, 0.6)
    if rng.random() < 0.5:
        layers.gas.stroke(np.array([(3.5, -18.0), (4.0, 18.0)]), 1.6, 0.5)


def _breast(layers: _Layers, rng: np.random.Generator) -> None:
    layers.thickness = 5.0
    side = float(rng.choice((-1, 1)))
    layers.body.fill(ellipse(side * 11, rng.normal(0, 1), rng.uniform(13, 19), rng.uniform(8, 11)), 1.0)
    for _ in range(60):
        x, y = rng.normal(side * 4, 3.0), rng.normal(0, 3.0)
        layers.bone.stroke(_line(x, y, rng.normal(-side * 1.5, 0.6), rng.uniform(1, 4)), rng.uniform(0.1, 0.7), 0.25)


PARTS: dict[str, tuple[float, Callable[[_Layers, np.random.Generator], None]]] = {
    "hand": (26.0, _hand),
    "limb": (28.0, _limb),
    "skull": (28.0, _skull),
    "abdomen": (42.0, _abdomen),
    "pelvis": (42.0, _pelvis),
    "neck": (30.0, _neck),
    "breast": (24.0, _breast),
}
"""What can be drawn: usual field of view in cm and the function that draws it."""
