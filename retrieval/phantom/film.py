"""From attenuation to a displayed X-ray: scatter, quantum noise, tone curve, collimation, marker letter."""

from __future__ import annotations

import cv2
import numpy as np

from retrieval.phantom.exam import Exam
from retrieval.phantom.projection import Map, blur

_SCATTER_SHARE = 0.55
_GRID_SIDE = 128


def expose(attenuation: Map, lungs: Map, body: Map, exam: Exam) -> Map:
    """Turn line integrals of attenuation into display values.

    Args:
        attenuation: float32 (size, size), dimensionless line integral of the attenuation coefficient.
        lungs: silhouette of the lungs, float32 (size, size) in [0, 1]; anchors the tone curve.
        body: silhouette of the body, float32 (size, size) in [0, 1].
        exam: exposure, noise and display settings.

    Returns:
        float32 (size, size) in [0, 1], air dark, bone bright.
    """
    size = attenuation.shape[0]
    beam = np.exp(-attenuation)
    beam += _SCATTER_SHARE * blur(np.minimum(beam, 0.30), 0.12 * size)
    _add_noise(beam, exam)
    density = np.log(np.maximum(beam, 1e-4))
    np.negative(density, out=density)
    if exam.sharpness > 0.05:
        density += (0.55 * exam.sharpness) * (density - blur(density, 0.012 * size))
    low, high = _anchors(density, lungs, body)
    span = (high - low) * 1.3 / exam.contrast
    middle = 0.5 * (low + high)
    density -= np.float32(middle)
    density *= np.float32(1.0 / span)
    density += np.float32(0.52 + exam.brightness)
    np.clip(density, 0.0, 1.0, out=density)
    return _collimate(_tone(density, exam.gamma), exam)


def _add_noise(beam: Map, exam: Exam) -> None:
    """Quantum noise: relative deviation grows where little radiation arrives; grain from a repeated tile."""
    if exam.noise <= 0.0:
        return
    size = beam.shape[0]
    rng = np.random.default_rng([exam.seed, 3])
    tile = min(size, 512)
    grain = rng.standard_normal((tile, tile), dtype=np.float32)
    if size > tile:
        repeat = -(-size // tile)
        grain = np.tile(np.block([[grain, grain[::-1]], [grain[:, ::-1], grain.T]]), (-(-repeat // 2),) * 2)
        grain = grain[:size, :size]
    strength = np.float32(exam.noise * 0.28 * np.sqrt(size / 512.0))
    beam += grain * np.sqrt(beam) * strength


def _anchors(density: Map, lungs: Map, body: Map) -> tuple[float, float]:
    small = (_GRID_SIDE, _GRID_SIDE)
    grid = cv2.resize(density, small, interpolation=cv2.INTER_AREA)
    lung = cv2.resize(lungs, small, interpolation=cv2.INTER_AREA) > 0.9
    trunk = (cv2.resize(body, small, interpolation=cv2.INTER_AREA) > 0.9) & ~lung
    low = float(np.percentile(grid[lung], 8)) if lung.any() else float(grid.min())
    high = float(np.percentile(grid[trunk], 80)) if trunk.any() else float(grid.max())
    return low, max(high, low + 0.5)


def _tone(values: Map, gamma: float) -> Map:
    steps = np.linspace(0.0, 1.0, 4097)
    curve = steps**gamma
    curve = 0.75 * curve + 0.25 * (3 * curve**2 - 2 * curve**3)
    index = (values * 4096.0).astype(np.uint16)
    return np.asarray(curve.astype(np.float32)[index])


def _collimate(image: Map, exam: Exam) -> Map:
    size = image.shape[0]
    left, top, right, bottom = (round(border * size) for border in exam.collimation)
    for edge, width in (
        (np.s_[:, :left], left),
        (np.s_[:top], top),
        (np.s_[:, size - right :], right),
        (np.s_[size - bottom :], bottom),
    ):
        if width:
            image[edge] *= 0.03
    if exam.marker:
        _burn_marker(image, exam)
    return np.clip(image, 0.0, 1.0, out=image)


def _burn_marker(image: Map, exam: Exam) -> None:
    size = image.shape[0]
    rng = np.random.default_rng([exam.seed, 5])
    left = int(size * ((0.89 if exam.marker == "L" else 0.05) + rng.uniform(-0.02, 0.02)))
    top = int(size * rng.uniform(0.04, 0.3))
    side = max(8, round(size * 0.06))
    letter = np.zeros((side, side), dtype=np.uint8)
    weight = max(1, round(size / 220))
    cv2.putText(
        letter,
        exam.marker,
        (side // 6, side - side // 6),
        cv2.FONT_HERSHEY_SIMPLEX,
        side / 36,
        (255,),
        weight,
    )
    patch = image[top : top + side, left : left + side]
    share = letter[: patch.shape[0], : patch.shape[1]].astype(np.float32) / np.float32(255.0)
    patch += share * (np.float32(0.97) - patch)
