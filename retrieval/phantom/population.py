"""Draws synthetic adults whose measures vary, and hang together, as those of a hospital's patients do."""

from __future__ import annotations

import dataclasses

import numpy as np

from retrieval.phantom.person import APEX_Y, Clavicle, Heart, Marks, Person, Rib, Sex, Shoulder, Spine

RIB_LEVELS = 11


def random_person(rng: np.random.Generator) -> Person:
    """Draw a synthetic adult; the same generator state gives the same person."""
    sex = Sex.FEMALE if rng.random() < 0.5 else Sex.MALE
    age = int(np.clip(rng.normal(58, 17), 18, 94))
    female = sex is Sex.FEMALE
    old = np.clip((age - 40) / 50.0, 0.0, 1.0)
    half_width = float(np.clip(rng.normal(12.6 if female else 14.1, 1.2), 10.3, 17.0))
    dome = float(np.clip(rng.normal(9.6 if female else 10.6, 1.4), 6.5, 13.0))
    scoliosis = rng.random() < 0.08
    base = Person(
        sex=sex,
        age=age,
        seed=int(rng.integers(2**31)),
        half_width=half_width,
        half_depth=float(rng.normal(9.0 if female else 10.0, 0.8) + old),
        wall_power=float(rng.uniform(1.8, 3.8)),
        wall_root=float(rng.uniform(0.38, 0.66)),
        asymmetry=float(rng.normal(0, 0.025)),
        dome_right=dome - float(rng.uniform(-0.2, 1.6)),
        dome_left=dome + float(rng.uniform(0.0, 1.0)),
        dome_roundness=float(rng.uniform(1.3, 2.7)),
        hilum_right_y=float(rng.normal(-1.2, 0.7)),
        hilum_left_y=float(rng.normal(-2.2, 0.7)),
        vessel_density=float(rng.uniform(0.4, 1.6)),
        tissue=float(rng.uniform(0.0, 1.0)),
        breast=float(rng.uniform(0.25, 1.0)) if female else 0.0,
        breast_y=float(rng.uniform(4.0, 9.0)),
        shoulder_slope=float(rng.uniform(0.15, 0.42)),
        neck_half_width=float(rng.normal(5.2 if female else 6.2, 0.4)),
        ribs=(_PLACEHOLDER_RIB,),
        clavicles=(_random_clavicle(rng, -1, half_width), _random_clavicle(rng, 1, half_width)),
        shoulders=(_random_shoulder(rng, -1, half_width), _random_shoulder(rng, 1, half_width)),
        spine=Spine(
            bow=float(rng.uniform(1.2, 2.4) if scoliosis else abs(rng.normal(0, 0.5))),
            wavelength=float(rng.uniform(24, 44)),
            phase=float(rng.uniform(0, 2 * np.pi)),
            width=float(rng.normal(3.3 if female else 3.8, 0.45)),
            vertebra_height=float(rng.normal(2.25, 0.1)),
            process_skew=float(rng.normal(0, 0.2)),
        ),
        heart=_random_heart(rng, half_width, float(old)),
    )
    ribs = _random_ribs(rng, base)
    return dataclasses.replace(base, ribs=ribs, marks=_random_marks(rng, ribs, float(old)))


_PLACEHOLDER_RIB = Rib(1, 1, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, ())


def _random_clavicle(rng: np.random.Generator, side: int, half_width: float) -> Clavicle:
    return Clavicle(
        side=side,
        length=half_width * float(rng.uniform(0.92, 1.12)),
        slope=float(rng.normal(0.16, 0.16)),
        bend=float(rng.uniform(0.2, 2.0)),
        width=float(rng.uniform(0.95, 1.6)),
        medial_y=float(rng.normal(-9.6, 0.8)),
    )


def _random_shoulder(rng: np.random.Generator, side: int, half_width: float) -> Shoulder:
    return Shoulder(
        side=side,
        blade_x=half_width + float(rng.normal(-0.4, 1.5)),
        blade_y=float(rng.normal(-7.5, 0.8)),
        blade_width=float(rng.uniform(6.0, 8.5)),
        blade_height=float(rng.uniform(11.0, 15.0)),
        turn=float(rng.normal(0.12, 0.1)),
        head_radius=float(rng.uniform(2.1, 2.9)),
    )


def _random_heart(rng: np.random.Generator, half_width: float, old: float) -> Heart:
    size = float(np.clip(rng.normal(0.41 + 0.05 * old, 0.06), 0.31, 0.62)) * 2 * half_width
    return Heart(
        length=size * 0.54,
        breadth=size * float(rng.uniform(0.32, 0.42)),
        axis=float(rng.uniform(0.35, 0.95)),
        apex_x=size * float(rng.uniform(0.16, 0.24)),
        atrium_bulge=size * float(rng.uniform(0.24, 0.34)),
        knob_radius=float(rng.uniform(1.2, 1.9)) + 0.9 * old * float(rng.random()),
        trunk_bulge=float(rng.uniform(-0.4, 0.9)),
        mediastinum_width=float(rng.uniform(2.1, 3.1)) + 0.5 * old,
    )


def _random_ribs(rng: np.random.Generator, person: Person) -> tuple[Rib, ...]:
    spacing = rng.normal(1.0, 0.07)
    top = rng.normal(-14.0, 0.8)
    steepness = np.clip(rng.normal(1.0, 0.3), 0.4, 1.7)
    rise = rng.normal(0.5, 0.7)
    width = rng.uniform(0.7, 1.6)
    arch = rng.normal(0.9, 0.17)
    density = float(np.clip(rng.normal(1.15, 0.28) - (person.age - 55) * 0.005, 0.6, 1.5))
    gaps = np.array([1.8, 2.0, 2.2, 2.35, 2.4, 2.45, 2.5, 2.5, 2.5, 2.5]) * spacing
    gaps *= np.clip(rng.normal(1.0, 0.10, gaps.size), 0.75, 1.3)
    heads = top + np.concatenate([[0.0], np.cumsum(gaps)])
    drops = np.array([4.0, 6.2, 7.8, 8.8, 9.3, 9.6, 9.6, 9.2, 8.4, 7.0, 4.8]) * steepness
    ends = np.array([2.35, 2.4, 2.4, 2.4, 2.4, 2.4, 2.35, 2.3, 2.2, 2.05, 1.5])
    ribs = []
    for index in range(RIB_LEVELS):
        both = rng.normal(0, 1, 5)
        for side in (-1, 1):
            own = 0.75 * both + 0.65 * rng.normal(0, 1, 5)
            origin = float(heads[index] + 0.18 * own[0])
            drop = float(drops[index] * (1 + 0.07 * own[1]))
            lateral = float(person.wall(np.array([max(origin + drop / 2, APEX_Y + 1.4)]), side)[0])
            wave = tuple(
                (float(rng.normal(0, 0.38 / cycles)), float(cycles), float(rng.uniform(0, 2 * np.pi)))
                for cycles in (1.0, 2.0, 3.0)
            )
            ribs.append(
                Rib(
                    side=side,
                    level=index + 1,
                    origin_y=origin,
                    drop=drop,
                    rise=float(rise + 0.3 * own[2]),
                    reach=max(lateral, 4.2) + 0.1,
                    arch=float(np.clip(arch + 0.05 * own[3], 0.65, 1.3)),
                    width=float(np.clip(width * (1 + 0.12 * own[4]), 0.6, 1.8)),
                    taper=float(rng.uniform(-0.25, 0.3)),
                    density=density * (0.7 if index >= 8 else 1.0),
                    end_angle=float(ends[index] + rng.normal(0, 0.09)),
                    wave=wave,
                )
            )
    return tuple(ribs)


def _random_marks(rng: np.random.Generator, ribs: tuple[Rib, ...], old: float) -> Marks:
    count = int(rng.poisson(0.15 + 0.35 * old))
    fractures = tuple((int(rng.integers(6, len(ribs) - 4)), float(rng.uniform(0.7, 1.9))) for _ in range(count))
    granulomas = tuple(
        (
            float(rng.choice((-1, 1)) * rng.uniform(4, 10)),
            float(rng.uniform(-9, 6)),
            float(rng.uniform(0.15, 0.4)),
        )
        for _ in range(int(rng.poisson(0.3)))
    )
    pacemaker = int(rng.choice((-1, 1))) if rng.random() < 0.03 + 0.10 * old else 0
    return Marks(fractures, granulomas, pacemaker)
