"""What the gate is fitted on: real and drawn frontal chests, and wrong images made from them or drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from retrieval.data.augment import Augmentation
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow
from retrieval.data.phantoms import cached_phantoms, phantom_laterals
from retrieval.gate import Seen
from retrieval.phantom.parts import PARTS, body_part
from retrieval.phantom.pictures import PICTURES, picture
from retrieval.preprocess import prepare
from retrieval.training.gate import GateMaterial
from retrieval.training.spoil import spoil

Images = npt.NDArray[np.uint8]

_MOST_OF_A_DATASET = 600
_PHANTOMS = 80
_LATERALS = 200
_EACH_PART = 50
_SPOILED = 500
_MIRRORED = 0.2
_SIDE = 384


def gate_material(train: Sequence[ImageRow], val: Sequence[ImageRow], cache: Path, seed: int) -> GateMaterial:
    """Collect the material; the same arguments give the same material.

    Args:
        train: images to fit on. val: images of other patients, for the thresholds.
        cache: folder for prepared images.
        seed: of everything drawn by chance.
    """
    rng = np.random.default_rng(seed)
    images, kinds = _with_phantoms(train, cache, 1, rng)
    held_out, held_out_kinds = _with_phantoms(val, cache, 2, rng)
    wrong = _wrong(images, seed, rng)
    return GateMaterial(
        frontal=np.concatenate([images, _moved(images, seed, rng)]),
        frontal_kinds=kinds * 2,
        wrong=np.concatenate([part for _, part in wrong]),
        wrong_kinds=[kind for kind, part in wrong for _ in part],
        held_out=held_out,
        held_out_kinds=held_out_kinds,
    )


def _moved(images: Images, seed: int, rng: np.random.Generator) -> Images:
    """The same chests in other exposures, some of them mirrored."""
    moved = Augmentation(noise=0.01, erase=0.1).apply(
        torch.from_numpy(images), images.shape[1], torch.Generator().manual_seed(seed)
    )
    grey = np.asarray((255 * moved[:, 0].numpy()).round(), dtype=np.uint8)
    mirrored = rng.random(len(grey)) < _MIRRORED
    grey[mirrored] = grey[mirrored][:, :, ::-1]
    return grey


def _wrong(images: Images, seed: int, rng: np.random.Generator) -> list[tuple[Seen, Images]]:
    found = []
    for kind in (Seen.TURNED, Seen.INVERTED, Seen.PARTIAL, Seen.POOR, Seen.OTHER):
        chosen = images[np.sort(rng.permutation(len(images))[:_SPOILED])]
        found.append((kind, spoil(chosen, kind, rng)))
    laterals = phantom_laterals(_LATERALS, seed)
    found.append((Seen.LATERAL, np.concatenate([laterals, laterals[:, :, ::-1]])))
    for names, draw in ((PARTS, body_part), (PICTURES, picture)):
        found += [(Seen.OTHER, _drawn(name, draw, rng)) for name in names]
    return found


def _drawn(
    name: str, draw: Callable[[str, np.random.Generator, int], npt.NDArray[np.float32]], rng: np.random.Generator
) -> Images:
    return np.stack([prepare(draw(name, rng, _SIDE)) for _ in range(_EACH_PART)])


def _with_phantoms(
    rows: Sequence[ImageRow], cache: Path, seed: int, rng: np.random.Generator
) -> tuple[Images, list[str]]:
    images = prepared_images(rows, cache)
    datasets = np.array([row.dataset for row in rows])
    used = np.sort(
        np.concatenate(
            [rng.permutation(np.flatnonzero(datasets == name))[:_MOST_OF_A_DATASET] for name in np.unique(datasets)]
        )
    )
    synthetic = cached_phantoms(_PHANTOMS, 1, seed, cache)[:, 0]
    return np.concatenate([images[used], synthetic]), [*datasets[used].tolist(), *["phantom"] * len(synthetic)]
