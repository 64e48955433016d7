"""The material of a training run: prepared images, patients and findings of the training split, and the batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from retrieval.data.cache import prepared_images
from retrieval.data.findings import findings_vector
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.phantoms import cached_phantoms
from retrieval.data.sampler import PatientGroup, batches, group_patients
from retrieval.errors import ConfigInvalid
from retrieval.training.config import TrainingConfig

PHANTOM = "phantom"
_EXAMS = 4


@dataclass(frozen=True)
class Batch:
    """Images uint8 (n, h, w), patient numbers int64 (n,), findings float32 (n, C) with NaN for unknown."""

    images: Tensor
    patients: Tensor
    findings: Tensor


class Material:
    """Training images of the datasets a configuration names, drawn as patient-balanced batches.

    Args:
        rows: images of the training split.
        images: uint8 (n, h, w), prepared, in the order of `rows`.
        config: groups and seed.

    Raises:
        ConfigInvalid: a group names a dataset without training images.
    """

    def __init__(self, rows: Sequence[ImageRow], images: npt.NDArray[np.uint8], config: TrainingConfig) -> None:
        self._images = images
        self._findings = np.stack([findings_vector(row.finding) for row in rows])
        names = sorted({row.patient for row in rows})
        number = {name: index for index, name in enumerate(names)}
        self._patients = np.array([number[row.patient] for row in rows], dtype=np.int64)
        self._groups = [_group(rows, g.datasets, g.patients, g.paired_share) for g in config.groups]
        self._seed = config.seed

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """All training images, uint8 (n, h, w)."""
        return self._images

    def seek_rivals(self, embedding: npt.NDArray[np.float32], count: int = 10) -> None:
        """From now on batch each patient with some of the `count` others of its group that look most like it.

        Args:
            embedding: float32 (n, d), L2-normalised, of `images`, from an earlier round of training.

        Source: P1, iterative hard negatives.
        """
        self._groups = [replace(group, rivals=_rivals(group, embedding, count)) for group in self._groups]

    def draw(self, step: int) -> Batch:
        """The batch of a step; the same step always gives the same batch, so a resumed run repeats nothing."""
        stream: Iterator[npt.NDArray[np.int64]] = batches(self._groups, np.random.default_rng([self._seed, step]))
        indices = next(stream)
        return Batch(
            images=torch.from_numpy(np.ascontiguousarray(self._images[indices])),
            patients=torch.from_numpy(self._patients[indices]),
            findings=torch.from_numpy(self._findings[indices]),
        )


def load_material(manifest: Path, cache: Path, config: TrainingConfig) -> Material:
    """Read the training split of the datasets named in `config`, with its phantoms; prepared images lie in `cache`."""
    wanted = sorted({name for group in config.groups for name in group.datasets})
    rows = [row for row in read_manifest(manifest, wanted) if row.split is Split.TRAIN]
    images = prepared_images(rows, cache)
    if config.phantoms:
        drawn = cached_phantoms(config.phantoms, _EXAMS, config.seed, cache)
        rows += [_phantom_row(person) for person in range(len(drawn)) for _ in range(_EXAMS)]
        images = np.concatenate([images, drawn.reshape(-1, *drawn.shape[2:])])
    return Material(rows, images, config)


def _phantom_row(person: int) -> ImageRow:
    return ImageRow(Path(), "", PHANTOM, f"{PHANTOM}:{person}", Split.TRAIN, "", "")


def _group(rows: Sequence[ImageRow], datasets: Sequence[str], patients: int, paired_share: float) -> PatientGroup:
    indices = [index for index, row in enumerate(rows) if row.dataset in datasets]
    if not indices:
        raise ConfigInvalid(f"There are no training images of {', '.join(datasets)} in the manifest.")
    return PatientGroup(group_patients([row.patient for row in rows], indices), patients, paired_share)


def _rivals(group: PatientGroup, embedding: npt.NDArray[np.float32], count: int) -> tuple[tuple[int, ...], ...]:
    means = np.stack([embedding[list(images)].mean(axis=0) for images in group.images])
    similarity = means @ means.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : min(count, len(means) - 1)]
    return tuple(tuple(row) for row in nearest.tolist())
