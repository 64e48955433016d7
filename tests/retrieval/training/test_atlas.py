from __future__ import annotations

import numpy as np
import pytest
import torch

from retrieval import phantom
from retrieval.errors import ManifestInvalid
from retrieval.networks.atlas import Atlas, laid, structure
from retrieval.networks.input import network_input
from retrieval.networks.recogniser import framed
from retrieval.training.atlas import fit_atlas, laid_images


def moved_chests(count: int, seed: int) -> np.ndarray:
    """Drawn chests of several persons, each scaled and shifted by chance: uint8 (count, 96, 96)."""
    rng = np.random.default_rng(seed)
    drawn = [phantom.render(phantom.random_person(rng), phantom.random_exam(rng), size=96) for _ in range(count)]
    images = torch.stack([torch.from_numpy((one - one.min()) / np.ptp(one)).float()[None] for one in drawn])
    poses = torch.from_numpy(rng.uniform(-1, 1, (count, 5)) * (0.12, 0.12, 0.05, 0.12, 0.12)).float()
    return (255 * laid(images, poses, "border")[:, 0]).byte().numpy()


def mean_agreement(atlas: Atlas, images: np.ndarray, aligned: bool) -> float:
    structures = structure(torch.from_numpy(images)[:, None].float() / 255)
    poses = atlas.poses(structures) if aligned else torch.zeros(len(images), 5)
    return float(atlas.agreement(structures, poses).mean())


def test_chests_that_were_not_learned_from_lie_better_on_the_mean() -> None:
    learned, fresh = moved_chests(40, 1), moved_chests(20, 2)
    kinds = np.full(len(learned), "adults")
    plain = Atlas()
    plain.mean_chest.copy_(structure(torch.from_numpy(learned)[:, None].float() / 255).mean(dim=0, keepdim=True))
    found = fit_atlas(learned, kinds)
    assert mean_agreement(found, fresh, aligned=True) > mean_agreement(plain, fresh, aligned=False) + 0.1
    assert found.mean_chest.std() > plain.mean_chest.std()


def test_each_kind_counts_alike_however_many_images_it_has() -> None:
    images = moved_chests(12, 3)
    kinds = np.array(["adults"] * 6 + ["children"] * 6)
    more = np.concatenate([images, images[6:], images[6:]])
    again = fit_atlas(more, np.concatenate([kinds, kinds[6:], kinds[6:]]))
    assert torch.allclose(fit_atlas(images, kinds).mean_chest, again.mean_chest, atol=1e-3)


def test_no_images_are_refused() -> None:
    with pytest.raises(ManifestInvalid, match="no training images"):
        fit_atlas(np.empty((0, 96, 96), np.uint8), np.empty(0, str))


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("contrast", [0.0, 0.05])
def test_what_is_fitted_on_is_what_the_networks_see(aligned: bool, contrast: float) -> None:
    images = moved_chests(3, 5)
    atlas = Atlas()
    atlas.mean_chest.copy_(structure(torch.from_numpy(images[:1])[:, None].float() / 255))
    batch = network_input(torch.from_numpy(images), 96)
    with torch.inference_mode():
        poses = atlas.poses(structure(batch)) if aligned else None
        seen = framed(batch, poses, contrast)[:, 0].numpy()
    found = laid_images(atlas if aligned else None, images, "images", contrast)
    assert found.dtype == np.uint8
    assert np.abs(found / 255 - seen).max() < 0.003
    assert np.array_equal(found, images) == (not aligned and not contrast)
