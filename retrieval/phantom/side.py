"""A crude lateral chest X-ray of a synthetic person, for telling side views from frontal ones."""

from __future__ import annotations

import numpy as np

from retrieval.phantom import anatomy
from retrieval.phantom.exam import Exam
from retrieval.phantom.film import expose
from retrieval.phantom.frontal import check_size, thoracic_bones
from retrieval.phantom.person import APEX_Y, Person
from retrieval.phantom.projection import Canvas, Map, Points, Projection, dome

_TISSUE, _LUNG_SHARE = 0.19, 0.72


def lateral(person: Person, exam: Exam, size: int = 1024) -> Map:
    """Lateral chest X-ray, the person's front at the right edge.

    Args:
        person: anatomy.
        exam: pose, breath and exposure; devices and opacities are not drawn.
        size: pixels a side, 64 to 4096.

    Returns:
        float32 (size, size) in [0, 1]: air dark, bone bright.

    Raises:
        PhantomValueError: `size` out of range.
    """
    check_size(size)
    flat = Projection(exam, size)
    turned = Projection(exam, size, turn=np.pi / 2)
    body = _filled(flat, _body(person), 0.4)
    lungs = _filled(flat, _lung(person, exam), 0.12)
    heart = _filled(flat, _heart(person, exam), 0.3)
    arch = _filled(flat, anatomy.ellipse(-0.5, -6.5, 2.6, 3.2, 0.3), 0.3)
    attenuation = dome(body, 3.5 * flat.scale) * body * np.float32(_TISSUE * 2.2 * person.half_width)
    air = dome(lungs, 2.0 * flat.scale) * lungs * (1.0 - 0.55 * np.maximum(heart, 0.25 * arch))
    attenuation -= air * np.float32(_TISSUE * _LUNG_SHARE * 1.7 * person.half_width)
    attenuation += np.float32(0.7) * thoracic_bones(person, exam, turned)
    attenuation += _column(person, flat)
    np.maximum(attenuation, 0.0, out=attenuation)
    return expose(np.asarray(attenuation, dtype=np.float32), lungs, body, exam)


def _filled(projection: Projection, outline: Points, sigma: float) -> Map:
    canvas = Canvas(projection)
    canvas.fill(outline, 1.0)
    return canvas.smooth(sigma)


def _back(person: Person, y: np.ndarray) -> np.ndarray:
    """Depth in cm of the spine's front: the thoracic column bows backwards, more so with age."""
    bow = 1.5 + 2.0 * max(0.0, person.age - 50) / 40.0
    return np.asarray(-person.half_depth * 0.72 - bow * np.cos((y + 1.0) / 9.0))


def _front(person: Person, y: np.ndarray) -> np.ndarray:
    """Depth in cm of the breast bone's back."""
    slope = np.clip((y - APEX_Y) / 16.0, 0.0, 1.0)
    return np.asarray(person.half_depth * (0.15 + 0.75 * np.sqrt(slope)))


def _body(person: Person) -> Points:
    y = np.linspace(-15.0, 30.0, 40)
    chest = 3.0 * person.breast * np.exp(-(((y - person.breast_y) / 3.5) ** 2))
    front = _front(person, y) + 2.0 + person.tissue + chest
    back = _back(person, np.clip(y, -20, 14)) - 5.0 - person.tissue
    neck = np.array([(person.neck_half_width * 0.7, -30.0), (-person.neck_half_width * 1.3, -30.0)])
    rising = np.stack([back[::-1], y[::-1]], axis=1)
    return np.concatenate([np.stack([front, y], axis=1), rising, neck[::-1]])


def _lung(person: Person, exam: Exam) -> Points:
    level = 0.5 * (person.dome_left + person.dome_right)
    y = np.linspace(APEX_Y + 0.3, level + 1.0, 40)
    front = _front(person, y) - 0.6
    u = np.linspace(0.0, 1.0, 24)
    rear = float(_back(person, np.array([level + 4.5]))[0]) - 2.2
    floor = np.stack([front[-1] + (rear - front[-1]) * u, level + 1.0 - 2.2 * np.sin(np.pi * u) + 4.0 * u**3], axis=1)
    up = np.linspace(level + 4.0, APEX_Y + 0.3, 40)
    rising = np.stack([_back(person, up) - 2.2, up], axis=1)
    return anatomy.breathe(np.concatenate([np.stack([front, y], axis=1), floor, rising]), exam.breath)


def _heart(person: Person, exam: Exam) -> Points:
    heart = person.heart
    level = 0.5 * (person.dome_left + person.dome_right)
    centre = (person.half_depth * 0.28, level - heart.breadth * 0.8)
    outline = anatomy.ellipse(*centre, heart.length * 0.72, heart.breadth, -0.7)
    return anatomy.breathe(outline, exam.breath)


def _column(person: Person, projection: Projection) -> Map:
    canvas, edge = Canvas(projection), Canvas(projection)
    height = person.spine.vertebra_height
    for level in range(-3, 15):
        y = -13.9 + level * (height + 0.02 * level)
        x = float(_back(person, np.array([y]))[0]) - 1.4
        block = np.array([(-1.4, -0.43), (1.4, -0.43), (1.25, 0.0), (1.4, 0.43), (-1.4, 0.43), (-1.25, 0.0)])
        outline = block * np.array([1.0, height]) + np.array([x, y])
        canvas.fill(outline, 0.7)
        edge.stroke(outline, 0.2, 0.7, closed=True)
        spike = np.array([(x - 1.6, y), (x - 4.0, y + 1.2)])
        edge.stroke(spike, 0.7, 0.5)
    return canvas.smooth(0.12) * np.float32(0.5) + edge.smooth(0.08) * np.float32(0.3)
