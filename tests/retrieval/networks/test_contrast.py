from __future__ import annotations

import torch
from torch.nn import functional

from retrieval.networks.contrast import locally_standard, smoothed


def shades(side: int = 64) -> torch.Tensor:
    """Three images of soft shapes in [0.2, 0.8]."""
    torch.manual_seed(0)
    coarse = torch.rand(3, 1, side // 4, side // 4)
    return 0.2 + 0.6 * functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)


def test_exposure_of_a_place_is_taken_out() -> None:
    images = shades()
    slope = torch.linspace(-0.15, 0.15, 64)
    exposed = 0.6 * images + 0.2 + slope
    before, after = (locally_standard(each, 5.0, 0.001) for each in (images, exposed))
    assert (after - before).abs().mean() < 0.1 * before.abs().mean()


def test_each_place_is_held_against_its_surroundings() -> None:
    images = shades()
    around = images[0, 0, 22:43, 22:43]
    away = torch.arange(-10, 11).float()
    bell = torch.exp(-0.5 * (away / 5) ** 2)
    weights = bell[:, None] * bell[None]
    weights /= weights.sum()
    mean = (weights * around).sum()
    deviation = ((weights * around.square()).sum() - mean**2).sqrt()
    expected = (images[0, 0, 32, 32] - mean) / (deviation + 0.02)
    assert torch.isclose(locally_standard(images, 5.0, 0.02)[0, 0, 32, 32], expected, atol=1e-4)


def test_surroundings_seen_coarsely_are_hardly_others() -> None:
    fine, coarse = (locally_standard(shades(96), 12.0, 0.02, step) for step in (1, 3))
    assert coarse.shape == fine.shape
    assert (fine - coarse).abs().max() < 0.1
    assert not torch.equal(fine, coarse)


def test_a_side_that_the_step_does_not_divide_is_seen_whole() -> None:
    images = shades(64)[..., :61, :62]
    fine, coarse = (locally_standard(images, 12.0, 0.02, step) for step in (1, 3))
    assert (fine - coarse).abs().max() < 0.2


def test_a_flat_image_stays_flat() -> None:
    assert torch.allclose(locally_standard(torch.full((1, 1, 32, 32), 0.4), 4.0, 0.02), torch.zeros(1), atol=1e-3)


def test_smoothing_keeps_what_is_even_and_spreads_a_point() -> None:
    assert torch.allclose(smoothed(torch.ones(1, 1, 16, 16), 2.0), torch.ones(1))
    point = torch.zeros(1, 1, 17, 17)
    point[..., 8, 8] = 1
    spread = smoothed(point, 2.0)[0, 0]
    assert torch.isclose(spread.sum(), torch.tensor(1.0))
    assert torch.equal(spread, spread.T) and spread[8, 8] == spread.max() < 0.1
