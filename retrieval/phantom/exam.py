"""One exam of a synthetic person: everything that changes from one exposure to the next."""

from __future__ import annotations

import dataclasses
import enum

import numpy as np

from retrieval.phantom.errors import PhantomValueError


class View(enum.Enum):
    """Direction of a frontal exposure; PA upright at 180 cm, AP at the bedside at 110 cm."""

    PA = "PA"
    AP = "AP"

    @property
    def source_distance(self) -> float:
        """Distance in cm from X-ray source to detector."""
        return 180.0 if self is View.PA else 110.0


@dataclasses.dataclass(frozen=True, slots=True)
class Opacity:
    """A consolidation in the lung: centre and radius in cm, `density` as the share of air it replaces."""

    x: float
    y: float
    radius: float
    density: float


@dataclasses.dataclass(frozen=True, slots=True)
class Devices:
    """What lies on or in the patient for this exam only."""

    leads: int = 0
    breathing_tube: bool = False
    central_line: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Exam:
    """Pose, breath, exposure and foreign objects of one exposure.

    `roll` (radians) turns in the image plane, `yaw` about the body axis, `pitch` about the transverse axis;
    `shift_x`, `shift_y` and `field` (side of the square image) in cm; `breath` is 0 (expiration) to 1 (full
    inspiration); `gamma` and `contrast` shape the display curve, `brightness` shifts it; `noise` is the
    relative quantum noise at the mean exposure; `collimation` are the dark borders (left, top, right, bottom)
    as fractions of the side; `marker` is the burned-in letter "L", "R" or "".

    Raises:
        PhantomValueError: a value outside what an exposure can have.
    """

    seed: int
    view: View = View.PA
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    field: float = 40.0
    breath: float = 1.0
    arms: float = 0.0
    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    sharpness: float = 0.6
    noise: float = 0.02
    collimation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    marker: str = "L"
    stomach_gas: float = 0.0
    effusion: float = 0.0
    opacities: tuple[Opacity, ...] = ()
    devices: Devices = Devices()

    def __post_init__(self) -> None:
        if not 0.0 <= self.breath <= 1.0:
            raise PhantomValueError(f"breath must lie between 0 and 1, not {self.breath:g}")
        if not 20.0 <= self.field <= 80.0:
            raise PhantomValueError(f"field must lie between 20 and 80 cm, not {self.field:g}")
        if min(self.collimation) < 0.0 or max(self.collimation) > 0.4:
            raise PhantomValueError("collimation borders must lie between 0 and 0.4 of the side")
        if self.marker not in ("L", "R", ""):
            raise PhantomValueError('marker must be "L", "R" or empty')
        if self.gamma <= 0.0 or self.contrast <= 0.0 or self.noise < 0.0:
            raise PhantomValueError("gamma and contrast must be positive and noise must not be negative")


def random_exam(rng: np.random.Generator) -> Exam:
    """Draw an exposure as a hospital's stream has them: two thirds upright PA, the rest at the bedside."""
    bedside = rng.random() < 0.33
    scale = 1.7 if bedside else 1.0
    border = rng.uniform(0.01, 0.07, 4) * (rng.random(4) < 0.6) if rng.random() < 0.3 else np.zeros(4)
    devices = Devices()
    if bedside and rng.random() < 0.75:
        devices = Devices(
            leads=int(rng.integers(0, 5)),
            breathing_tube=bool(rng.random() < 0.3),
            central_line=bool(rng.random() < 0.4),
        )
    return Exam(
        seed=int(rng.integers(2**31)),
        view=View.AP if bedside else View.PA,
        roll=float(rng.normal(0, 0.018 * scale)),
        yaw=float(rng.normal(0, 0.035 * scale)),
        pitch=float(rng.normal(0.05 if bedside else 0.0, 0.03 * scale)),
        shift_x=float(rng.normal(0, 0.6 * scale)),
        shift_y=float(rng.normal(0.4, 0.7 * scale)),
        field=float(np.clip(rng.normal(36.0, 1.5), 33.0, 41.0)),
        breath=float(rng.beta(2.0, 2.0) if bedside else rng.beta(5.0, 1.5)),
        arms=float(rng.normal(0, 1)),
        gamma=float(np.exp(rng.normal(0, 0.16))),
        contrast=float(np.exp(rng.normal(0, 0.12))),
        brightness=float(rng.normal(0, 0.04)),
        sharpness=float(rng.uniform(0.2, 1.2)),
        noise=float(rng.uniform(0.006, 0.03) * scale),
        collimation=(float(border[0]), float(border[1]), float(border[2]), float(border[3])),
        marker=str(rng.choice(["L", "R", ""], p=[0.6, 0.3, 0.1])),
        stomach_gas=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.6 else 0.0,
        effusion=float(rng.uniform(0.2, 1.0)) if rng.random() < (0.3 if bedside else 0.06) else 0.0,
        opacities=_random_opacities(rng, bedside),
        devices=devices,
    )


def _random_opacities(rng: np.random.Generator, bedside: bool) -> tuple[Opacity, ...]:
    count = int(rng.poisson(0.9 if bedside else 0.2))
    return tuple(
        Opacity(
            x=float(rng.choice((-1, 1)) * rng.uniform(4, 10)),
            y=float(rng.uniform(-7, 7)),
            radius=float(rng.uniform(1.0, 3.5)),
            density=float(rng.uniform(0.1, 0.45)),
        )
        for _ in range(count)
    )
