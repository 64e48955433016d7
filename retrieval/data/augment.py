"""What changes between two exposures of one person, applied to whole batches of tensors.

Pose and distance (rotation, zoom, unequal scaling, shift), exposure (gamma, contrast, brightness), noise, collimation
and letters burned into corners. Never a flip: a mirrored chest is another anatomy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from kornia.enhance import equalize_clahe
from torch import Tensor
from torch.nn import functional

# Control points a side of smooth fields; side that tubes are drawn at, in pixels.
_CONTROL = 5
_DRAWN = 80


@dataclass(frozen=True)
class Augmentation:
    """How far each change may go; every value is the bound of a uniform distribution around "unchanged".

    Attributes:
        rotation: degrees. zoom_in, zoom_out, stretch: relative. shift: share of the image side.
        gamma: of log gamma. contrast, brightness: relative to the grey range, small because the preparation
        normalises both. noise: largest standard deviation.
        collimation: largest share of a side that is blacked out. erase: probability of a corner box.
        warp: breath and posture, a smooth displacement, as a share of half the side. haze: smooth opacities, relative
        to the grey range. tube: probability of a drawn tube. clahe: probability of another vendor's local contrast.
        coarse: probability of a coarser detector. These five are off unless asked for.
    """

    rotation: float = 7.0
    zoom_in: float = 0.18
    zoom_out: float = 0.05
    stretch: float = 0.06
    shift: float = 0.05
    gamma: float = 0.35
    contrast: float = 0.12
    brightness: float = 0.05
    noise: float = 0.03
    collimation: float = 0.10
    erase: float = 0.3
    warp: float = 0.0
    haze: float = 0.0
    tube: float = 0.0
    clahe: float = 0.0
    coarse: float = 0.0

    def apply(self, images: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """Augment and resample a batch.

        Args:
            images: uint8 (n, h, w).
            size: side of the result in pixels.
            generator: source of chance.

        Returns:
            float32 (n, 1, size, size) in [0, 1].
        """
        grey = images.unsqueeze(1).float() / 255
        grey = self._move(grey, size, generator)
        grey = self._process(grey, generator)
        grey = self._expose(grey, generator)
        grey = self._overlay(grey, generator)
        return self._cover(grey, generator)

    def _move(self, grey: Tensor, size: int, generator: torch.Generator) -> Tensor:
        n = len(grey)
        angle = _around(n, math.radians(self.rotation), generator)
        scale = torch.exp(torch.empty(n).uniform_(-self.zoom_in, self.zoom_out, generator=generator))
        stretch = torch.exp(_around(n, self.stretch, generator))
        shift = torch.stack([_around(n, 2 * self.shift, generator) for _ in range(2)], dim=1)
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        rows = [torch.stack([cos * stretch, -sin * stretch], 1), torch.stack([sin / stretch, cos / stretch], 1)]
        matrix = torch.cat([torch.stack(rows, 1), shift.unsqueeze(2)], dim=2)
        grid = functional.affine_grid(matrix, [n, 1, size, size], align_corners=False)
        if self.warp:
            away = torch.randn(n, 2, _CONTROL, _CONTROL, generator=generator)
            strength = self.warp * torch.rand(n, 1, 1, 1, generator=generator)
            grid = grid + _smooth(away * strength, size).permute(0, 2, 3, 1)
        return functional.grid_sample(grey, grid, padding_mode="zeros", align_corners=False)

    def _process(self, grey: Tensor, generator: torch.Generator) -> Tensor:
        """Local contrast and sharpness, which differ between vendors and detectors."""
        size = grey.shape[-1]
        if self.clahe:
            chosen = _chosen(len(grey), self.clahe, generator)
            limit = float(1 + 5 * torch.rand(1, generator=generator))
            share = torch.rand(len(chosen), 1, 1, 1, generator=generator)
            if len(chosen):
                equal = equalize_clahe(grey[chosen].clamp(0, 1), limit, (8, 8))
                grey[chosen] = torch.lerp(grey[chosen], equal, share)
        if self.coarse:
            chosen = _chosen(len(grey), self.coarse, generator)
            side = int(size * float(0.35 + 0.4 * torch.rand(1, generator=generator)))
            if len(chosen):
                small = functional.interpolate(grey[chosen], (side, side), mode="bilinear", antialias=True)
                grey[chosen] = functional.interpolate(small, (size, size), mode="bilinear")
        return grey

    def _overlay(self, grey: Tensor, generator: torch.Generator) -> Tensor:
        """Opacities, and tubes along random curves."""
        n, size = len(grey), grey.shape[-1]
        if self.haze:
            cloud = torch.randn(n, 1, _CONTROL, _CONTROL, generator=generator)
            grey = grey + _smooth(self.haze * torch.rand(n, 1, 1, 1, generator=generator) * cloud, size)
        if self.tube:
            chosen = _chosen(n, self.tube, generator)
            if len(chosen):
                grey[chosen] = grey[chosen] + _tubes(len(chosen), size, generator)
        return grey.clamp(0, 1)

    def _expose(self, grey: Tensor, generator: torch.Generator) -> Tensor:
        n = len(grey)
        gamma, contrast, brightness, noise = (
            _around(n, bound, generator).view(n, 1, 1, 1)
            for bound in (self.gamma, self.contrast, self.brightness, self.noise)
        )
        grey = grey.clamp(min=1e-4).pow(torch.exp(gamma))
        grey = (grey - 0.5) * torch.exp(contrast) + 0.5 + brightness
        grain = torch.randn(grey.shape, generator=generator)
        return (grey + noise.abs() * grain).clamp(0, 1)

    def _cover(self, grey: Tensor, generator: torch.Generator) -> Tensor:
        n, size = len(grey), grey.shape[-1]
        line = (torch.arange(size) + 0.5) / size
        share = self.collimation * torch.rand(n, 4, generator=generator).square()
        collimated = torch.rand(n, 1, generator=generator) < 0.5
        share = torch.where(collimated, share, torch.zeros(()))
        inside_y = (line[None] >= share[:, :1]) & (line[None] <= 1 - share[:, 1:2])
        inside_x = (line[None] >= share[:, 2:3]) & (line[None] <= 1 - share[:, 3:])
        grey = grey * (inside_y[:, None, :, None] & inside_x[:, None, None, :])
        side = 0.05 + 0.12 * torch.rand(n, 2, generator=generator)
        corner = torch.rand(n, 2, generator=generator) < 0.5
        at = torch.where(corner, side / 2, 1 - side / 2)
        box_y = (line[None] - at[:, :1]).abs() < side[:, :1] / 2
        box_x = (line[None] - at[:, 1:]).abs() < side[:, 1:] / 2
        erased = (torch.rand(n, generator=generator) < self.erase).view(n, 1, 1, 1)
        box = box_y[:, None, :, None] & box_x[:, None, None, :] & erased
        return torch.where(box, torch.rand(n, 1, 1, 1, generator=generator), grey)


def _around(n: int, bound: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(n, generator=generator) - 1) * bound


def _chosen(n: int, probability: float, generator: torch.Generator) -> Tensor:
    """Positions of the images that a change is made to."""
    return (torch.rand(n, generator=generator) < probability).nonzero()[:, 0]


def _smooth(field: Tensor, size: int) -> Tensor:
    """A coarse field (n, c, k, k) as a smooth one (n, c, size, size)."""
    bent = functional.interpolate(field, (24, 24), mode="bicubic", align_corners=True)
    return functional.interpolate(bent, (size, size), mode="bilinear", align_corners=True)


def _tubes(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Bright lines along quadratic Bézier curves: float32 (n, 1, size, size), 0 to 0.5."""
    ends = 1.2 * torch.rand(n, 3, 1, 2, generator=generator) - 0.1
    way = torch.linspace(0, 1, 100)[None, :, None]
    curve = (1 - way) ** 2 * ends[:, 0] + 2 * way * (1 - way) * ends[:, 1] + way**2 * ends[:, 2]
    axis = (torch.arange(_DRAWN) + 0.5) / _DRAWN
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(1, -1, 2)
    distance = torch.cdist(points.expand(n, -1, -1), curve).amin(dim=2).view(n, 1, _DRAWN, _DRAWN)
    width = 0.006 + 0.012 * torch.rand(n, 1, 1, 1, generator=generator)
    strength = 0.1 + 0.4 * torch.rand(n, 1, 1, 1, generator=generator)
    line = strength * torch.exp(-((distance / width) ** 2))
    return functional.interpolate(line, (size, size), mode="bilinear", align_corners=False)
