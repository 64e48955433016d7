"""Lays each chest onto a mean chest before it is read: a rib then lies in the same place in all images of a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.networks.contrast import locally_standard, smoothed

# Side of the squares in which structure is seen, in pixels.
SIDE = 64
# Side and Gaussian width, both in pixels, of what is registered in turn: outlines first; and steps at each.
LEVELS = ((32, 2.5), (32, 1.5), (64, 2.0))
STEPS = 8
# Width of the neighbourhood whose brightness and contrast are taken out, in pixels.
_LOCAL = 10.0
_FLOOR = 0.05
# How far images usually lie from the mean: log of both scales, radians, shares of half the side.
_USUAL = (0.15, 0.15, 0.08, 0.15, 0.15)
_HOLD = 0.02
# The middle of the chest counts most; width as a share of half the side.
_MIDDLE = 0.5
_LONGEST_STEP = 0.1
# An image that agrees less than this with the mean chest may lie far off, and is taken to if it agrees so much better
# there: ribs look like their neighbours, and half a rib further is no worse by more than that.
_LOST = 0.6
_BETTER = 0.2
# How far images lie that were badly framed: zoomed as a whole, hardly stretched, and shifted anywhere.
_FAR_ZOOM, _FAR_STRETCH, _FAR_SHIFT = 0.6, 0.05, 0.6
# Where they are looked for: log of the scale, and shifts as a share of half the side.
_ZOOMS = (-0.7, -0.35, 0.0, 0.25)
_SHIFTS = ((0.0, 0.0), (0.35, 0.0), (-0.35, 0.0), (0.0, 0.35), (0.0, -0.35))
# Devices on which the pass is recorded as a graph: nothing may depend on what is seen, so every image is looked for.
_RECORDED = ("cuda",)
# Farther than this an image is not laid: most of what is seen would be beyond its edges.
_FARTHEST = (1.0, 1.0, 0.6, 0.8, 0.8)


class Atlas(nn.Module):
    """A mean chest and the registration onto it: each axis scaled, turned, shifted; never sheared, never bent.

    What is registered is structure, not brightness: the small square minus its local mean over its local deviation. Its
    correlation with the mean chest, under a window on the middle, is maximised by Gauss-Newton steps from coarse to
    fine; a prior holds an image that shows little near where it was. An image that does not agree there with the mean
    chest is looked for farther off, from many starts: a chest that is small in its image, or in a corner of it.

    The mean chest is a buffer, and zero until it is found by `retrieval.training.atlas`.

    Source: Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization",
    2008, eq. 6 (forward additive), here with a Gaussian prior on the parameters.
    """

    mean_chest: Tensor
    _near: Tensor
    _far: Tensor
    _starts: Tensor
    _farthest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_chest", torch.zeros(1, 1, SIDE, SIDE))
        starts = [(zoom, zoom, 0.0, *shift) for zoom in _ZOOMS for shift in _SHIFTS]
        for name, values in (
            ("_near", 2 * _HOLD * torch.diag(torch.tensor(_USUAL) ** -2)),
            ("_far", 2 * _HOLD * _far_precision()),
            ("_starts", torch.tensor(starts)),
            ("_farthest", torch.tensor(_FARTHEST)),
        ):
            self.register_buffer(name, values, persistent=False)

    def poses(self, structures: Tensor) -> Tensor:
        """Where the mean chest lies in each image, looked for farther off where it does not lie near.

        Args:
            structures: float32 (n, 1, 64, 64), see `structure`.

        Returns:
            float32 (n, 5): log of the scale across and down, angle in radians, shift across and down as a share of half
            the side. Zeros if the image lies as the mean does.
        """
        poses = self.near(structures)
        agreement = self.agreement(structures, poses)
        lost = agreement < _LOST
        if structures.device.type in _RECORDED:
            return torch.where(lost[:, None], self._searched(structures, poses, agreement), poses)
        rows = torch.nonzero(lost)[:, 0]
        if len(rows):
            poses = poses.index_copy(0, rows, self._searched(structures[rows], poses[rows], agreement[rows]))
        return poses

    def near(self, structures: Tensor) -> Tensor:
        """Where the mean chest lies in images (n, 1, 64, 64) that are framed as usual: poses (n, 5)."""
        return self._registered(structures, structures.new_zeros(len(structures), 5), self._near, LEVELS)

    def _searched(self, structures: Tensor, poses: Tensor, agreement: Tensor) -> Tensor:
        """The best of what is found from all starts, or the poses as they are where that is not clearly better."""
        count = len(self._starts)
        each = structures.repeat_interleave(count, dim=0)
        found = self._registered(each, self._starts.repeat(len(structures), 1), self._far, LEVELS[:-1])
        which = self._held(each, found).view(-1, count).argmax(dim=1)
        found = found.view(-1, count, 5)[torch.arange(len(which), device=which.device), which]
        found = self._registered(structures, found, self._far, LEVELS[-1:])
        better = self._held(structures, found) > agreement + _BETTER
        return torch.where(better[:, None], found, poses)

    def _held(self, structures: Tensor, poses: Tensor) -> Tensor:
        """Agreement, and -1 where an image would be laid too far."""
        within = (poses.abs() < self._farthest).all(dim=1)
        return self.agreement(structures, poses).where(within, -1.0)

    def _registered(
        self, structures: Tensor, poses: Tensor, stiffness: Tensor, levels: Sequence[tuple[int, float]]
    ) -> Tensor:
        for side, width in levels:
            view = _View.of(side, structures)
            seen = _seen(structures, side, width)
            wanted = view.standard(_seen(self.mean_chest, side, width).flatten(1))[0]
            slopes = torch.cat([seen, *_slopes(seen)], dim=1)
            for _ in range(STEPS):
                poses = poses + self._step(view, poses, slopes, wanted, stiffness)
        return poses

    def agreement(self, structures: Tensor, poses: Tensor) -> Tensor:
        """Correlation (n,) in [-1, 1] of structures (n, 1, 64, 64) with the mean chest as they lie on it."""
        side, width = LEVELS[-1]
        view = _View.of(side, structures)
        wanted = view.standard(_seen(self.mean_chest, side, width).flatten(1))[0]
        found = view.standard(laid(_seen(structures, side, width), poses, "border").flatten(1))[0]
        return (view.window * wanted * found).sum(dim=1)

    def _step(self, view: _View, poses: Tensor, slopes: Tensor, wanted: Tensor, stiffness: Tensor) -> Tensor:
        seen, across, down = laid(slopes, poses, "border").flatten(2).unbind(dim=1)
        standard, deviation = view.standard(seen)
        change = view.change(poses, across, down)
        change = change - (change * view.window).sum(dim=2, keepdim=True)
        along = (change * (view.window * standard)[:, None]).sum(dim=2, keepdim=True)
        change = (change - along * standard[:, None]) / deviation[:, None]
        weighed = change * view.window
        curvature = weighed @ change.transpose(1, 2) + stiffness
        uphill = (weighed @ (wanted - standard)[:, :, None])[:, :, 0] - poses @ stiffness
        step: Tensor = torch.linalg.solve_ex(curvature, uphill[:, :, None])[0][:, :, 0]
        return step.clamp(-_LONGEST_STEP, _LONGEST_STEP)


def _far_precision() -> Tensor:
    """Inverse covariance (5, 5) of far poses; zoom and stretch are the mean of both scales and half their gap."""
    zoom, stretch = _FAR_ZOOM**-2, _FAR_STRETCH**-2
    precision = torch.diag(torch.tensor([0.0, 0.0, _USUAL[2] ** -2, _FAR_SHIFT**-2, _FAR_SHIFT**-2]))
    precision[:2, :2] = torch.tensor([[zoom + stretch, zoom - stretch], [zoom - stretch, zoom + stretch]]) / 4
    return precision


class _View(NamedTuple):
    """The pixels of a square: how much each counts, and where it lies across and down, in [-1, 1]; each (side²,)."""

    window: Tensor
    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, side: int, like: Tensor) -> _View:
        axis = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) * 2 / side - 1
        fall = torch.exp(-0.5 * (axis / _MIDDLE) ** 2)
        window = (fall[:, None] * fall[None]).flatten()
        return cls(window / window.sum(), axis.repeat(side), axis.repeat_interleave(side))

    def standard(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values (n, side²) with mean 0 and deviation 1 under the window, and their deviation (n, 1)."""
        away = values - (values * self.window).sum(dim=1, keepdim=True)
        deviation = (away.square() * self.window).sum(dim=1, keepdim=True).sqrt().clamp(min=1e-6)
        return away / deviation, deviation

    def change(self, poses: Tensor, across: Tensor, down: Tensor) -> Tensor:
        """How each pixel changes with each parameter (n, 5, side²), from the image's slopes (n, side²)."""
        (xx, xy), (yx, yy) = _scale_and_turn(poses)
        return torch.stack(
            [
                (across * xx + down * yx) * self.x,
                (across * xy + down * yy) * self.y,
                down * (xx * self.x + xy * self.y) - across * (yx * self.x + yy * self.y),
                across,
                down,
            ],
            dim=1,
        )


def as_matrices(poses: Tensor) -> Tensor:
    """Poses (n, 5) as matrices (n, 2, 3): positions (x, y, 1) of the image that is laid to those of the given one."""
    (xx, xy), (yx, yy) = _scale_and_turn(poses)
    rows = [torch.cat([xx, xy, poses[:, 3:4]], dim=1), torch.cat([yx, yy, poses[:, 4:5]], dim=1)]
    return torch.stack(rows, dim=1)


def laid(images: Tensor, poses: Tensor, beyond: str = "zeros") -> Tensor:
    """Resample images float32 (n, c, h, w) as poses (n, 5) say; `beyond` their edges 0, or `border`."""
    grid = functional.affine_grid(as_matrices(poses), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode=beyond, align_corners=False)


def laid_back(maps: Tensor, poses: Tensor) -> Tensor:
    """Maps float32 (n, c, h, w) of images that were `laid`, resampled so that they lie on the images as they were.

    Where an image goes on beyond what was laid, the map's edge does.
    """
    across, down, angle = poses[:, 0:1].exp(), poses[:, 1:2].exp(), poses[:, 2:3]
    back = torch.stack(
        [
            torch.cat([angle.cos() / across, angle.sin() / across], dim=1),
            torch.cat([-angle.sin() / down, angle.cos() / down], dim=1),
        ],
        dim=1,
    )
    turned = torch.cat([back, -back @ poses[:, 3:, None]], dim=2)
    grid = functional.affine_grid(turned, list(maps.shape), align_corners=False)
    return functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)


def structure(images: Tensor) -> Tensor:
    """What is registered of images float32 (n, 1, h, w): float32 (n, 1, 64, 64), whatever their exposure."""
    small = images
    if images.shape[-2:] != (SIDE, SIDE):
        small = functional.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return locally_standard(small, _LOCAL, _FLOOR)


def _seen(structures: Tensor, side: int, width: float) -> Tensor:
    """Structures (n, 1, 64, 64) as a square of `side` pixels, smoothed by a Gaussian of `width` of these."""
    return smoothed(functional.avg_pool2d(structures, SIDE // side), width)


def _slopes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Change across and down, for half a side."""
    half = images.shape[-1] / 2
    padded = functional.pad(images, (1, 1, 1, 1), "replicate")
    across = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2 * half
    down = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2 * half
    return across, down


def _scale_and_turn(poses: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The linear part of poses (n, 5): the rows of a matrix 2 x 2, each entry (n, 1)."""
    across, down, angle = poses[:, 0:1].exp(), poses[:, 1:2].exp(), poses[:, 2:3]
    cos, sin = angle.cos(), angle.sin()
    return (across * cos, -down * sin), (across * sin, down * cos)
