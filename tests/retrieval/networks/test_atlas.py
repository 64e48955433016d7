from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from retrieval import phantom
from retrieval.networks.atlas import SIDE, Atlas, laid, structure

# Log of the scale across and down, radians, shift across and down as a share of half the side.
POSES = [
    (0.1, 0.0, 0.0, 0.0, 0.0),
    (0.0, -0.1, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.08, 0.0, 0.0),
    (0.05, 0.05, -0.04, 0.1, -0.1),
]

# Badly framed: as small as where somebody forgot to collimate, and in a corner.
FAR = [
    (0.75, 0.75, 0.0, 0.0, 0.0),
    (0.5, 0.5, 0.03, 0.6, -0.3),
    (0.0, 0.0, 0.0, 0.5, -0.25),
]

_AXIS = torch.linspace(-1, 1, 128)
PLACES = torch.stack(torch.meshgrid(_AXIS, _AXIS, indexing="xy"))[None]


def chest(seed: int = 3, size: int = 128) -> Tensor:
    """A drawn chest: float32 (1, 1, size, size) in [0, 1]."""
    rng = np.random.default_rng(seed)
    drawn = phantom.render(phantom.random_person(rng), phantom.random_exam(rng), size=size)
    return torch.from_numpy((drawn - drawn.min()) / np.ptp(drawn)).float()[None, None]


def onto(atlas: Atlas, images: Tensor) -> Tensor:
    """Images laid onto the mean chest."""
    return laid(images, atlas.poses(structure(images)))


@pytest.fixture
def atlas() -> Atlas:
    found = Atlas()
    found.mean_chest.copy_(structure(chest()))
    return found


def test_a_chest_that_lies_as_the_mean_does_is_not_moved(atlas: Atlas) -> None:
    assert atlas.poses(structure(chest())).abs().max() < 1e-3
    assert torch.allclose(onto(atlas, chest()), chest(), atol=0.02)


def away(moved: Tensor, poses: Tensor) -> float:
    """How far the middle of a moved image lies from its place when laid by `poses`, as a share of half the side.

    Args:
        moved: float32 (1, 3, 128, 128), the image and where each of its pixels was, across and down.
    """
    back = laid(moved, poses, "border")
    return float((back[:, 1:] - PLACES)[:, :, 32:96, 32:96].norm(dim=1).mean())


def moved_by(pose: tuple[float, ...], beyond: str) -> Tensor:
    return laid(torch.cat([chest(), PLACES], dim=1), torch.tensor([pose]), beyond)


@pytest.mark.parametrize("pose", POSES)
def test_a_moved_chest_is_laid_back(atlas: Atlas, pose: tuple[float, ...]) -> None:
    moved = moved_by(pose, "border")
    found = atlas.poses(structure(moved[:, :1]))
    # The prior holds it a little short of the whole way.
    assert away(moved, found) < 0.5 * away(moved, torch.zeros(1, 5))
    assert atlas.agreement(structure(moved[:, :1]), found) > 0.9


@pytest.mark.parametrize("pose", FAR)
def test_a_badly_framed_chest_is_found_where_it_lies(atlas: Atlas, pose: tuple[float, ...]) -> None:
    moved = moved_by(pose, "zeros")
    structures = structure(moved[:, :1])
    near, found = atlas.near(structures), atlas.poses(structures)
    assert away(moved, near) > 0.15
    assert away(moved, found) < 0.1
    assert atlas.agreement(structures, found) > atlas.agreement(structures, near) + 0.2


def test_a_chest_that_is_framed_as_usual_is_not_looked_for_elsewhere(atlas: Atlas) -> None:
    structures = structure(torch.cat([moved_by(pose, "border")[:, :1] for pose in POSES]))
    assert torch.equal(atlas.poses(structures), atlas.near(structures))


def test_a_recorded_pass_finds_the_same(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = [moved_by(pose, "zeros")[:, :1] for pose in (*POSES, *FAR)]
    structures = structure(torch.cat([*moved, torch.zeros(1, 1, 128, 128)]))
    found = atlas.poses(structures)
    monkeypatch.setattr("retrieval.networks.atlas._RECORDED", ("cuda", "cpu"))
    assert torch.allclose(atlas.poses(structures), found, atol=1e-4)


def test_no_image_is_laid_so_far_that_little_of_it_is_left(atlas: Atlas) -> None:
    noise = torch.rand(8, 1, 128, 128, generator=torch.Generator().manual_seed(1))
    shrunk = laid(chest(), torch.tensor([[2.0, 2.0, 0.0, 0.0, 0.0]]))
    poses = atlas.poses(structure(torch.cat([noise, shrunk])))
    assert poses.isfinite().all()
    assert (poses.abs() < torch.tensor([1.0, 1.0, 0.6, 0.8, 0.8])).all()


def test_exposure_does_not_move_a_chest(atlas: Atlas) -> None:
    moved = laid(chest(), torch.tensor([POSES[-1]]), "border")
    plain, dark = (atlas.poses(structure(image)) for image in (moved, 0.7 * moved.pow(1.3)))
    assert torch.allclose(plain, dark, atol=0.02)


def test_an_image_that_shows_nothing_stays_where_it_is(atlas: Atlas) -> None:
    for blank in (torch.zeros(1, 1, 128, 128), torch.ones(1, 1, 128, 128)):
        assert torch.allclose(onto(atlas, blank)[:, :, 2:-2, 2:-2], blank[:, :, 2:-2, 2:-2], atol=1e-4)


def test_what_lies_beside_an_image_does_not_matter(atlas: Atlas) -> None:
    images = torch.cat([*(chest(seed) for seed in (3, 4, 5)), moved_by(FAR[1], "zeros")[:, :1]])
    alone = torch.cat([onto(atlas, image[None]) for image in images])
    assert torch.allclose(onto(atlas, images), alone, atol=1e-4)


def test_the_correlation_is_the_textbook_one_where_every_pixel_counts_alike(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.networks.atlas._MIDDLE", 1e6)
    monkeypatch.setattr("retrieval.networks.atlas.LEVELS", ((SIDE, 0.01),))
    other = structure(chest(5))
    expected = np.corrcoef(other.numpy().ravel(), atlas.mean_chest.numpy().ravel())[0, 1]
    assert float(atlas.agreement(other, torch.zeros(1, 5))) == pytest.approx(expected, abs=1e-4)


def test_poses_say_where_the_mean_chest_lies() -> None:
    square = torch.zeros(1, 1, 100, 100)
    square[:, :, 40:60, 60:80] = 1
    shifted = laid(square, torch.tensor([[0.0, 0.0, 0.0, 0.4, 0.0]]))
    assert torch.allclose(shifted[:, :, 40:60, 40:60], torch.ones(1, 1, 20, 20), atol=1e-4)
    twice = laid(square, torch.tensor([[np.log(0.5), np.log(0.5), 0.0, 0.4, 0.0]], dtype=torch.float32))
    assert twice.sum() == pytest.approx(4 * float(square.sum()), rel=0.05)
