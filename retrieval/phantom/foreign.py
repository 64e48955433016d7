"""Shadows of leads, tubes and lines of an exam, and of a person's pacemaker and calcified scars."""

from __future__ import annotations

import itertools

import numpy as np

from retrieval.phantom import anatomy
from retrieval.phantom.exam import Exam
from retrieval.phantom.person import Person
from retrieval.phantom.projection import Canvas, Map, Points, Projection

_METAL = 2.6
_PLASTIC = 0.55


def device_shadow(person: Person, exam: Exam, projection: Projection) -> Map:
    """Attenuation (size, size) of devices and calcifications."""
    metal, plastic = Canvas(projection), Canvas(projection)
    _marks(person, exam, metal, plastic)
    _leads(exam, metal, plastic)
    if exam.devices.breathing_tube:
        y = np.linspace(-22.0, -8.5, 12)
        middle = anatomy.spine_x(person, y) * 0.5 - 0.05 * (y + 16.0)
        for offset in (-0.4, 0.4):
            plastic.stroke(np.stack([middle + offset, y], axis=1), 0.16, 0.9)
    if exam.devices.central_line:
        rng = np.random.default_rng([exam.seed, 13])
        knots = np.array([(-7.0, -22.0), (-4.5, -16.0), (-2.6, -10.0), (-2.2, -4.0), (-2.0, rng.uniform(-2, 3))])
        plastic.stroke(_curve(knots), 0.22, 0.9)
    shadow = metal.smooth(0.04) * np.float32(_METAL)
    shadow += plastic.smooth(0.04) * np.float32(_PLASTIC)
    return shadow


def _marks(person: Person, exam: Exam, metal: Canvas, plastic: Canvas) -> None:
    for x, y, radius in person.marks.granulomas:
        spot = anatomy.breathe(anatomy.ellipse(x, y, radius, radius * 0.9, x, count=16), exam.breath)
        plastic.fill(spot, 0.9)
    side = person.marks.pacemaker_side
    if side:
        x, y = side * person.half_width * 0.68, -7.8
        metal.fill(anatomy.ellipse(x, y, 2.2, 1.8, 0.3 * side), 0.75)
        plastic.fill(anatomy.ellipse(x, y - 2.1, 1.2, 0.7), 0.8)
        apex = (person.heart.apex_x + 2.5, person.dome_left - 2.0)
        knots = np.array([(x, y - 2.2), (side * 4.5, -10.0), (-1.8, -8.0), (-2.6, -1.0), (-1.5, 3.5), apex])
        lead = anatomy.breathe(_curve(knots), exam.breath)
        metal.stroke(lead, 0.16, 0.5)


def _leads(exam: Exam, metal: Canvas, plastic: Canvas) -> None:
    rng = np.random.default_rng([exam.seed, 11])
    for _ in range(exam.devices.leads):
        x = float(rng.choice((-1, 1)) * rng.uniform(5, 13))
        y = float(rng.uniform(-11, 9))
        metal.stroke(anatomy.ellipse(x, y, 0.5, 0.5, count=20), 0.2, 0.35, closed=True)
        metal.fill(anatomy.ellipse(x, y, 0.2, 0.2, count=12), 0.4)
        away = np.sign(x) * rng.uniform(15, 24)
        middle = ((x + away) / 2 + rng.normal(0, 3), y + rng.normal(0, 5))
        plastic.stroke(_curve(np.array([(x, y), middle, (away, y + rng.uniform(-14, 10))])), 0.14, 0.85)


def _curve(knots: Points, count: int = 48) -> Points:
    """Smooth line (n, 2) through the neighbourhood of the knots (a Bezier curve through their hull)."""
    u = np.linspace(0.0, 1.0, count)[:, None]
    points = [np.broadcast_to(knot, (count, 2)) for knot in knots]
    while len(points) > 1:
        points = [(1 - u) * first + u * second for first, second in itertools.pairwise(points)]
    return np.asarray(points[0])
