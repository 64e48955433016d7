"""Find the mean chest that images are laid onto, and lay them: each round's mean is that of all laid onto the last."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from retrieval.errors import ManifestInvalid
from retrieval.networks.atlas import Atlas, laid, structure
from retrieval.networks.input import network_input
from retrieval.networks.recogniser import framed

ROUNDS = 4
_BATCH = 64
_PROGRESS = Console(stderr=True)


def fit_atlas(images: npt.NDArray[np.uint8], kinds: npt.NDArray[np.str_]) -> Atlas:
    """Find the mean chest of images, in which each kind counts alike.

    It needs no labels. The first mean is that of the images as they are; each round registers all of them anew, takes
    out what they have moved on average, and is sharper than the one before.

    Args:
        images: uint8 (n, h, w), prepared. kinds: (n,), of patients, see `retrieval.training.kinds`.

    Raises:
        ManifestInvalid: there are no images.

    Source: congealing; Miller, Matsakis and Viola, "Learning from one example through shared densities on transforms",
    2000, here with correlation in place of entropy.
    """
    if not len(images):
        raise ManifestInvalid("There are no training images to find the mean chest of.")
    names, number, count = np.unique(kinds, return_inverse=True, return_counts=True)
    weights = torch.from_numpy(1 / (len(names) * count[number])).float()
    atlas = Atlas()
    with torch.inference_mode():
        structures = torch.cat([structure(_square(part)) for part in _parts(images)])
        poses = torch.zeros(len(images), 5)
        for _ in track(range(ROUNDS), description="mean chest", console=_PROGRESS):
            atlas.mean_chest.copy_(_mean(structures, poses, weights))
            poses = torch.cat([atlas.near(part) for part in torch.split(structures, _BATCH)])
            poses -= weights @ poses
        atlas.mean_chest.copy_(_mean(structures, poses, weights))
    return atlas


def laid_images(
    atlas: Atlas | None, images: npt.NDArray[np.uint8], name: str, contrast: float = 0.0
) -> npt.NDArray[np.uint8]:
    """Prepared images uint8 (n, h, w), each laid onto the mean chest; as they lie if there is no atlas.

    Args:
        name: what they are, for the progress bar. contrast: see `framed`.
    """
    if (atlas is None and not contrast) or not len(images):
        return images
    laid_ = np.empty(images.shape, np.uint8)
    with torch.inference_mode():
        for start in track(range(0, len(images), _BATCH), description=f"laying {name}", console=_PROGRESS):
            part = _square(images[start : start + _BATCH])
            part = framed(part, None if atlas is None else atlas.poses(structure(part)), contrast)
            laid_[start : start + _BATCH] = (255 * part[:, 0]).round().to(torch.uint8).numpy()
    return laid_


def _mean(structures: Tensor, poses: Tensor, weights: Tensor) -> Tensor:
    parts = zip(*(torch.split(values, _BATCH) for values in (structures, poses, weights)), strict=True)
    return sum((w @ laid(s, p, "border").flatten(1) for s, p, w in parts), torch.zeros(())).view(structures[:1].shape)


def _parts(images: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    return (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))


def _square(images: npt.NDArray[np.uint8]) -> Tensor:
    return network_input(torch.from_numpy(images.copy()), images.shape[-1])
