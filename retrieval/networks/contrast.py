"""Local contrast: an image with the brightness and contrast of each place's surroundings taken out."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# Where an image is flat there is only noise, which is not raised without bound.
_LEAST_VARIANCE = 1e-4
# Of what a network is shown: the floor, the deviation as a share of the grey range, and the width of the surroundings
# in the pixels that are fine enough to see them.
_FLOOR = 0.02
_GREY = 0.2
_FINE = 4.0


def evened(images: Tensor, contrast: float) -> Tensor:
    """Images with their local contrast made even: a faint rib counts like a bright one.

    Args:
        images: float32 (n, 1, h, h), grey in [0, 1]. contrast: width of the surroundings as a share of the side.

    Returns:
        float32 (n, 1, h, h), in deviations; 0 is as bright as the surroundings, and what a place beyond an image is.
    """
    width = contrast * images.shape[-1]
    return locally_standard(images, width, _FLOOR, max(1, int(width / _FINE)))


def as_grey(deviations: Tensor) -> Tensor:
    """Deviations (n, 1, h, w) as an image in [0, 1]; 0 is its middle."""
    return (0.5 + _GREY * deviations).clamp(0, 1)


def locally_standard(images: Tensor, width: float, floor: float, step: int = 1) -> Tensor:
    """Images minus the mean of their surroundings, over its deviation.

    Args:
        images: float32 (n, 1, h, w), grey in [0, 1]. width: of the Gaussian surroundings, in pixels.
        floor: added to the deviation, > 0.
        step: pixels a side that are taken as one for the surroundings, which are smooth; faster, and hardly coarser
            below a quarter of `width`.

    Returns:
        float32 (n, 1, h, w), in deviations.

    Source: Jarrett, Kavukcuoglu, Ranzato and LeCun, "What is the best multi-stage architecture for object
    recognition?", 2009, sec. 2 (local contrast normalisation), here with a floor that is added.
    """
    mean = _surroundings(images, width, step)
    variance = _surroundings(images.square(), width, step) - mean.square()
    return (images - mean) / (variance.clamp(min=_LEAST_VARIANCE).sqrt() + floor)


def smoothed(images: Tensor, width: float, beyond: str = "replicate") -> Tensor:
    """Images (n, 1, h, w) under a Gaussian of this width in pixels."""
    reach = math.ceil(2 * width)
    away = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    bell = torch.exp(-0.5 * (away / width) ** 2)
    bell = bell / bell.sum()
    across = functional.conv2d(functional.pad(images, (reach, reach, 0, 0), beyond), bell[None, None, None])
    return functional.conv2d(functional.pad(across, (0, 0, reach, reach), beyond), bell[None, None, :, None])


def _surroundings(values: Tensor, width: float, step: int) -> Tensor:
    if step == 1:
        return smoothed(values, width, "reflect")
    high, wide = values.shape[-2:]
    coarse = functional.interpolate(values, (high // step, wide // step), mode="area")
    return functional.interpolate(
        smoothed(coarse, width / step, "reflect"), (high, wide), mode="bilinear", align_corners=False
    )
