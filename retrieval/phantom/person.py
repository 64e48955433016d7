"""The anatomy of one synthetic person, as numbers that stay the same from exam to exam."""

from __future__ import annotations

import dataclasses
import enum

import numpy as np

from retrieval.phantom.errors import PhantomValueError

APEX_Y = -12.8


class Sex(enum.Enum):
    """Anatomical sex of the synthetic person, with DICOM's code values."""

    FEMALE = "F"
    MALE = "M"


@dataclasses.dataclass(frozen=True, slots=True)
class Rib:
    """One rib: an inclined ellipse arc from the spine round the side to its bony anterior end.

    Lengths in cm, angles in radians. `side` is -1 (patient's right, left in the image) or +1, `level` 1
    to 11. `wave` holds three (amplitude cm, cycles, phase) undulations: what makes two persons' ribs
    differ most.
    """

    side: int
    level: int
    origin_y: float
    drop: float
    rise: float
    reach: float
    arch: float
    width: float
    taper: float
    density: float
    end_angle: float
    wave: tuple[tuple[float, float, float], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Clavicle:
    """One collar bone: an S-shaped curve. `slope` radians (positive: lateral end higher), lengths in cm."""

    side: int
    length: float
    slope: float
    bend: float
    width: float
    medial_y: float


@dataclasses.dataclass(frozen=True, slots=True)
class Shoulder:
    """Shoulder blade and humeral head of one side; lengths in cm, `turn` in radians."""

    side: int
    blade_x: float
    blade_y: float
    blade_width: float
    blade_height: float
    turn: float
    head_radius: float


@dataclasses.dataclass(frozen=True, slots=True)
class Spine:
    """Spinal column: lateral curve x(y) = bow * sin(2 pi y / wavelength + phase), lengths in cm."""

    bow: float
    wavelength: float
    phase: float
    width: float
    vertebra_height: float
    process_skew: float


@dataclasses.dataclass(frozen=True, slots=True)
class Heart:
    """Heart and great vessels; lengths in cm, `axis` in radians below the horizontal."""

    length: float
    breadth: float
    axis: float
    apex_x: float
    atrium_bulge: float
    knob_radius: float
    trunk_bulge: float
    mediastinum_width: float


@dataclasses.dataclass(frozen=True, slots=True)
class Marks:
    """What this person carries for years: healed fractures, calcified granulomas, a pacemaker.

    `fractures` are (index into ribs, angle along the rib in radians), `granulomas` are (x cm, y cm,
    radius cm); `pacemaker_side` is 0 when there is none.
    """

    fractures: tuple[tuple[int, float], ...] = ()
    granulomas: tuple[tuple[float, float, float], ...] = ()
    pacemaker_side: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """All that is constant about one synthetic person.

    Lengths in cm; the origin lies in the middle of the chest, x to the person's left, y towards the feet,
    z towards the front. `half_width` and `half_depth` are the thorax's; `dome_right` and
    `dome_left` are the y of the diaphragm at full inspiration; `seed` fixes how the vessels branch.

    Raises:
        PhantomValueError: an adult chest cannot have these dimensions.
    """

    sex: Sex
    age: int
    seed: int
    half_width: float
    half_depth: float
    wall_power: float
    wall_root: float
    asymmetry: float
    dome_right: float
    dome_left: float
    dome_roundness: float
    hilum_right_y: float
    hilum_left_y: float
    vessel_density: float
    tissue: float
    breast: float
    breast_y: float
    shoulder_slope: float
    neck_half_width: float
    ribs: tuple[Rib, ...]
    clavicles: tuple[Clavicle, Clavicle]
    shoulders: tuple[Shoulder, Shoulder]
    spine: Spine
    heart: Heart
    marks: Marks = Marks()

    def __post_init__(self) -> None:
        if not 18 <= self.age <= 110:
            raise PhantomValueError(f"age must lie between 18 and 110 years, not {self.age}")
        if not 9.0 <= self.half_width <= 19.0:
            raise PhantomValueError(f"half_width must lie between 9 and 19 cm, not {self.half_width:g}")
        domes = (self.dome_right, self.dome_left)
        if min(domes) <= 0.0 or max(domes) > 16.0:
            raise PhantomValueError("the diaphragm domes must lie between 0 and 16 cm below the origin")
        if not self.ribs:
            raise PhantomValueError("a person needs ribs")

    def wall(self, y: np.ndarray, side: int) -> np.ndarray:
        """Half width in cm of the rib cage at heights `y` (cm) on one side (-1 or +1)."""
        depth = np.clip((y - APEX_Y) / 23.0, 0.0, 1.0)
        shape = (1.0 - (1.0 - depth) ** self.wall_power) ** self.wall_root
        inward = 0.06 * np.clip((y - 8.0) / 6.0, 0.0, 1.5) ** 2
        return np.asarray(self.half_width * (1.0 + side * self.asymmetry) * (shape - inward))
