"""Embeddings of many people, drawn so that they cluster like those of real images, without any image.

The constants are fitted by eye to a network of this product on 963 real test patients: how fast the variance falls from
direction to direction, the cosine of two images of one person (there 0.53 on average, here 0.52) and the standard
deviation of that of two persons (0.136, here 0.137).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIM = 256
BITS = 128
IMAGES_OF_A_PERSON = 4
# Variance falls with the number of the direction as (number + _OFFSET) ** -_DECAY.
_OFFSET, _DECAY = 9.0, 1.45
# What an image adds to its person, in standard deviations of the persons.
_SPREAD = 0.94
_CHUNK = 100_000


@dataclass(frozen=True, eq=False)
class Population:
    """Images of a crowd.

    Attributes:
        gallery: float32 (n, 256), unit length; images 4i to 4i + 3 show one person.
        probes: float32 (q, 256), unit length: new images of persons of the gallery.
        gallery_codes: uint8 (n, 16). probe_codes: uint8 (q, 16). Signs of random projections.
    """

    gallery: NDArray[np.float32]
    probes: NDArray[np.float32]
    gallery_codes: NDArray[np.uint8]
    probe_codes: NDArray[np.uint8]


def population(images: int, probes: int, seed: int) -> Population:
    """Draw a crowd; the same arguments give the same one."""
    scale = ((np.arange(DIM) + _OFFSET) ** -_DECAY).astype(np.float32) ** 0.5
    rng = np.random.default_rng([seed, 0])
    # Real embeddings are not aligned with the axes.
    turned, _ = np.linalg.qr(rng.normal(size=(DIM, DIM)))
    mixing = (scale[:, None] * turned).astype(np.float32)
    planes = rng.normal(size=(DIM, BITS)).astype(np.float32)
    parts = list(_drawn(images, seed, mixing))
    gallery = np.concatenate([part for part, _ in parts])
    centres = np.concatenate([centre for _, centre in parts])
    chosen = centres[np.random.default_rng([seed, 1]).integers(0, len(centres), probes)]
    asked = _exam(np.random.default_rng([seed, 2]), chosen, mixing)
    return Population(gallery, asked, _codes(gallery, planes), _codes(asked, planes))


def _drawn(
    images: int, seed: int, mixing: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Images and persons, some at a time: float32 (m, 256) and (m / 4, 256)."""
    for start in range(0, images, _CHUNK):
        rng = np.random.default_rng([seed, 3, start])
        count = min(_CHUNK, images - start)
        persons = rng.standard_normal((-(-count // IMAGES_OF_A_PERSON), DIM), np.float32)
        yield _exam(rng, np.repeat(persons, IMAGES_OF_A_PERSON, axis=0)[:count], mixing), persons


def _exam(rng: np.random.Generator, persons: NDArray[np.float32], mixing: NDArray[np.float32]) -> NDArray[np.float32]:
    vectors = (persons + _SPREAD * rng.standard_normal(persons.shape, np.float32)) @ mixing
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _codes(vectors: NDArray[np.float32], planes: NDArray[np.float32]) -> NDArray[np.uint8]:
    parts = [np.packbits(vectors[i : i + _CHUNK] @ planes > 0, axis=1) for i in range(0, len(vectors), _CHUNK)]
    return np.concatenate(parts)
