"""Curves and outlines of the chest's parts in body coordinates (cm)."""

from __future__ import annotations

import functools

import numpy as np

from retrieval.phantom.person import APEX_Y, Clavicle, Person, Rib, Shoulder
from retrieval.phantom.projection import Points

EXPIRATION = 3.4
"""cm by which the diaphragm of a full expiration stands higher."""


def spine_x(person: Person, y: np.ndarray) -> np.ndarray:
    """Lateral position in cm of the spine at heights `y`, zero at the level of the heart."""
    spine = person.spine
    turn = 2 * np.pi / spine.wavelength
    return np.asarray(spine.bow * (np.sin(turn * y + spine.phase) - np.sin(spine.phase)))


def breathe(points: Points, breath: float) -> Points:
    """Raise what lies low in the chest as breath (1 inspiration, 0 expiration) leaves it."""
    moved = points.copy()
    share = np.clip((points[:, 1] - APEX_Y) / 22.0, 0.0, 1.2)
    moved[:, 1] -= EXPIRATION * (1.0 - breath) * share**2
    return moved


def rib_course(person: Person, rib: Rib, breath: float, count: int = 56) -> tuple[Points, np.ndarray]:
    """Centre line (n, 3) of a rib in cm and the angle (n,) along it, 0 at the spine."""
    angle = np.linspace(0.0, rib.end_angle, count)
    hinge = float(spine_x(person, np.array([rib.origin_y]))[0])
    outward = np.abs(np.sin(angle)) ** rib.arch
    narrow = 1.0 - 0.03 * (1.0 - breath)
    x = hinge + rib.side * (1.7 + (rib.reach * narrow - 1.7) * outward)
    drop = rib.drop * (1.0 + 0.10 * (1.0 - breath))
    y = rib.origin_y + drop * (1.0 - np.cos(angle)) / 2.0 - rib.rise * np.sin(angle) * np.exp(-angle)
    fade = np.clip(angle / 0.35, 0.0, 1.0)
    for amplitude, cycles, phase in rib.wave:
        y = y + fade * amplitude * np.sin(cycles * angle * 2.0 + phase)
    depth = person.half_depth * np.sqrt(np.clip(rib.reach / person.half_width, 0.3, 1.0))
    z = -depth * np.cos(angle)
    return np.stack([x, y, z], axis=1), angle


def rib_ribbon(course: Points, angle: np.ndarray, rib: Rib, fractures: tuple[float, ...]) -> tuple[Points, Points]:
    """Upper and lower edge (n, 3) of a rib in cm; healed fractures at the given angles swell and step it."""
    along = np.gradient(course[:, :2], axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    normal = np.stack([along[:, 1], -along[:, 0]], axis=1) * rib.side
    share = angle / max(rib.end_angle, 1e-6)
    half = rib.width / 2.0 * (0.72 + 0.35 * np.sin(np.pi * np.clip(share * 1.1, 0, 1)) + rib.taper * (share - 0.5))
    steep = np.abs(along[:, 1])
    half = half * (1.0 - 0.45 * steep**3)
    step = np.zeros_like(angle)
    for where in fractures:
        bump = np.exp(-(((angle - where) / 0.07) ** 2))
        half = half * (1.0 + 0.75 * bump)
        step = step + 0.25 * np.tanh((angle - where) / 0.05) * np.exp(-(((angle - where) / 0.3) ** 2))
    upper, lower = course.copy(), course.copy()
    upper[:, :2] += normal * (half + step)[:, None]
    lower[:, :2] -= normal * (half - step)[:, None]
    return upper, lower


def lung_outline(person: Person, side: int, breath: float, effusion: float = 0.0) -> Points:
    """Closed outline (n, 2) of one lung; `effusion` 0 to 1 blunts the costophrenic angle."""
    dome = person.dome_left if side > 0 else person.dome_right
    corner = dome + 4.2 - 3.6 * effusion
    y = np.linspace(APEX_Y + 0.35, corner, 48)
    lateral = person.wall(y, side) - 0.35
    u = np.linspace(0.0, 1.0, 32)
    inner = 2.4
    peak = 0.55
    floor_x = lateral[-1] + (inner - lateral[-1]) * u
    outer_part = np.clip(1.0 - u / peak, 0.0, 1.0) ** person.dome_roundness
    inner_part = np.clip((u - peak) / (1.0 - peak), 0.0, 1.0) ** 2
    floor_y = dome + (corner - dome) * outer_part + 2.0 * inner_part
    medial_y = np.linspace(floor_y[-1], APEX_Y + 0.35, 24)
    top = np.clip((medial_y - APEX_Y) / 8.0, 0.0, 1.0)
    medial_x = inner + np.minimum(2.6, float(lateral[0])) * (1.0 - top) ** 3
    x = np.concatenate([lateral, floor_x, medial_x])
    outline = np.stack([side * x, np.concatenate([y, floor_y, medial_y])], axis=1)
    return breathe(outline, breath)


def ellipse(x: float, y: float, a: float, b: float, turn: float = 0.0, count: int = 40) -> Points:
    """Closed ellipse outline (n, 2) with half axes `a`, `b` cm, turned by `turn` radians."""
    angle = np.linspace(0.0, 2 * np.pi, count, endpoint=False)
    u, v = a * np.cos(angle), b * np.sin(angle)
    return np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], axis=1)


def heart_outlines(person: Person, breath: float) -> tuple[Points, ...]:
    """Closed outlines whose union is the silhouette of heart, great vessels and mediastinum."""
    heart = person.heart
    base = min(person.dome_right, person.dome_left)
    wide = 1.0 + 0.06 * (1.0 - breath)
    centre_y = base - heart.breadth * 0.55
    knob_y = -7.0
    strip = heart.mediastinum_width
    parts = (
        ellipse(heart.apex_x, centre_y, heart.length * wide, heart.breadth, heart.axis),
        ellipse(-heart.atrium_bulge * 0.42, centre_y - 0.2, heart.atrium_bulge * 0.72, heart.breadth * 1.05),
        ellipse(heart.knob_radius * 0.75 + 0.4, knob_y, heart.knob_radius * 1.15, heart.knob_radius * 1.3),
        ellipse(1.4 + heart.trunk_bulge, -3.6, 2.3, 2.9, 0.2),
        np.array([[-strip, -16.0], [strip * 0.9, -16.0], [strip * 0.95, base + 4.0], [-strip * 0.9, base + 4.0]]),
    )
    return tuple(breathe(part, breath) for part in parts)


def body_outline(person: Person) -> Points:
    """Closed outline (n, 2) of neck, shoulders and trunk."""
    wall = 1.2 + 2.6 * person.tissue
    trunk = person.half_width + wall
    neck = person.neck_half_width
    fall = person.shoulder_slope * (trunk + 5.0 - neck)
    half = [
        (neck, -30.0),
        (neck * 0.97, -17.0 - 0.2 * fall),
        (neck + 2.2, -15.0),
        (trunk - 1.0, -14.5 + fall * 0.62),
        (trunk + 4.0, -13.6 + fall),
        (trunk + 6.5, -10.5 + fall),
        (trunk + 7.5, -5.0 + fall),
        (trunk + 8.0, 4.0),
        (trunk + 7.0, 7.0),
        (trunk + 3.4, 2.0),
        (trunk + 1.2, -0.5),
        (trunk + 0.4, 3.0),
        (trunk + 0.2, 12.0),
        (trunk + 0.4 + person.tissue, 30.0),
    ]
    right = np.array(half)
    left = right[::-1] * np.array([-1.0, 1.0])
    return np.concatenate([right, left])


def clavicle_course(clavicle: Clavicle, arms: float, count: int = 32) -> Points:
    """Centre line (n, 3) of a collar bone in cm."""
    u = np.linspace(0.0, 1.0, count)
    slope = clavicle.slope + 0.03 * arms
    x = clavicle.side * (1.5 + u * clavicle.length)
    y = clavicle.medial_y - u * clavicle.length * np.tan(slope) - clavicle.bend * np.sin(2 * np.pi * u) * 0.8
    z = 5.0 - 6.0 * u
    return np.stack([x, y, z], axis=1)


def blade_outline(shoulder: Shoulder, arms: float) -> Points:
    """Closed outline (n, 2) of a shoulder blade in cm; `arms` swings it outwards."""
    side, width, height = shoulder.side, shoulder.blade_width, shoulder.blade_height
    shape = np.array(
        [
            (-0.42, -0.42),
            (-0.5, -0.1),
            (-0.4, 0.3),
            (-0.16, 0.58),
            (-0.04, 0.55),
            (0.12, 0.15),
            (0.34, -0.2),
            (0.5, -0.36),
            (0.42, -0.48),
            (0.1, -0.4),
        ]
    )
    turn = -(shoulder.turn + 0.05 * arms)
    x, y = shape[:, 0] * width, shape[:, 1] * height
    u = x * np.cos(turn) - y * np.sin(turn)
    v = x * np.sin(turn) + y * np.cos(turn)
    return np.stack([side * (shoulder.blade_x + 0.5 * arms + u), shoulder.blade_y + v], axis=1)


@functools.lru_cache(maxsize=256)
def vessel_tree(
    seed: int, hilum_right_y: float, hilum_left_y: float, density: float, half_width: float
) -> tuple[tuple[Points, float], ...]:
    """Branches (course (n, 3) in cm, width in cm) of both lungs' vessels, thin ones first."""
    rng = np.random.default_rng([seed, 7])
    branches: list[tuple[Points, float]] = []
    for side, hilum in ((-1, hilum_right_y), (1, hilum_left_y)):
        count = round(9 * density) + 2
        for heading in np.linspace(-1.35, 1.4, count) + rng.normal(0, 0.16, count):
            start = np.array([side * rng.uniform(2.6, 3.8), hilum + 1.6 * heading, rng.uniform(-1, 1)])
            length = half_width * (0.30 + 0.16 * abs(heading)) * rng.uniform(0.75, 1.25)
            stack = [(start, float(heading), length, float(rng.uniform(0.32, 0.58)), 0)]
            while stack:
                origin, direction, reach, width, generation = stack.pop()
                bend = rng.normal(0, 0.30)
                u = np.linspace(0.0, 1.0, 5)
                bearing = direction + bend * u
                steps = np.stack([side * np.cos(bearing), np.sin(bearing), np.full(5, rng.normal(0, 0.5))], axis=1)
                course = origin + np.concatenate([np.zeros((1, 3)), np.cumsum(steps[:-1], axis=0)]) * reach / 4.0
                branches.append((course, width))
                if generation < 4:
                    for spread in (rng.uniform(0.15, 0.55), -rng.uniform(0.15, 0.55)):
                        stack.append(
                            (
                                course[-1],
                                direction + bend + spread,
                                reach * rng.uniform(0.5, 0.8),
                                width * rng.uniform(0.55, 0.75),
                                generation + 1,
                            )
                        )
    return tuple(sorted(branches, key=lambda branch: branch[1]))
