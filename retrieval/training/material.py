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
from retrieval.data.pair_list import PairList, read_pairs
from retrieval.data.phantoms import cached_phantoms
from retrieval.data.sampler import PatientGroup, batches, group_patients
from retrieval.data.source import LATERAL
from retrieval.data.trusted import trusted
from retrieval.errors import ConfigInvalid
from retrieval.losses import BatchPairs
from retrieval.networks.atlas import Atlas
from retrieval.training.atlas import laid_images
from retrieval.training.config import TrainingConfig
from retrieval.training.rivals import Rivals, find_rivals

PHANTOM = "phantom"
_EXAMS = 4


@dataclass(frozen=True)
class Batch:
    """Images uint8 (n, h, w), patient numbers int64 (n,), findings float32 (n, C) with NaN for unknown.

    pairs: those to compare, where a pair list is learned from; else None.
    """

    images: Tensor
    patients: Tensor
    findings: Tensor
    pairs: BatchPairs | None = None


class Material:
    """Training images of the datasets a configuration names, drawn as patient-balanced batches or from a pair list.

    Args:
        rows: images of the training split.
        images: uint8 (n, h, w), prepared, in the order of `rows`.
        config: groups, pairs and seed.

    Raises:
        ConfigInvalid: a group names a dataset without training images, or more patients than there are.
        ManifestInvalid: the pair list cannot be read or has no pairs, or is one of other images.
    """

    def __init__(self, rows: Sequence[ImageRow], images: npt.NDArray[np.uint8], config: TrainingConfig) -> None:
        self._rows = rows
        self._images = images
        self._pairs = read_pairs(Path(config.pairs), rows) if config.pairs else None
        self._size = config.images_per_step // 2
        self._findings = np.stack([findings_vector(row.finding) for row in rows])
        names = sorted({row.patient for row in rows})
        number = {name: index for index, name in enumerate(names)}
        self._patients = np.array([number[row.patient] for row in rows], dtype=np.int64)
        self._groups = [_group(rows, g.datasets, g.patients, g.paired_share) for g in config.groups]
        self._seed = config.seed

    @property
    def patients(self) -> int:
        """How many patients there are; their numbers in a batch are below this."""
        return int(self._patients.max()) + 1

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """All training images, uint8 (n, h, w)."""
        return self._images

    def seek_rivals(self, embedding: npt.NDArray[np.float32], count: int = 10) -> tuple[Rivals, ...]:
        """From now on batch each patient with some of the `count` others of its group that look most like it.

        Args:
            embedding: float32 (n, d), of `images`, from an earlier round of training.

        Returns:
            The rivals of each group, for `use_rivals`.

        Source: P1, iterative hard negatives.
        """
        found = tuple(find_rivals(self._rows, group.images, embedding, count) for group in self._groups)
        self.use_rivals(found)
        return found

    def use_rivals(self, rivals: Sequence[Rivals]) -> None:
        """From now on batch patients with rivals that were found before."""
        pairs = zip(self._groups, rivals, strict=True)
        self._groups = [replace(group, rivals=found) for group, found in pairs]

    def draw(self, step: int) -> Batch:
        """The batch of a step; the same step always gives the same batch, so a resumed run repeats nothing."""
        if self._pairs is not None:
            return self._draw_pairs(self._pairs, step)
        stream: Iterator[npt.NDArray[np.int64]] = batches(self._groups, np.random.default_rng([self._seed, step]))
        return self._batch(next(stream), None)

    def _draw_pairs(self, pairs: PairList, step: int) -> Batch:
        """The next pairs of the list, which is shuffled anew each time it is used up."""
        places = np.arange(step * self._size, (step + 1) * self._size)
        orders = {
            epoch: np.random.default_rng([self._seed, epoch]).permutation(len(pairs))
            for epoch in np.unique(places // len(pairs)).tolist()
        }
        chosen = np.array([orders[place // len(pairs)][place % len(pairs)] for place in places.tolist()])
        positions = torch.arange(2 * self._size)
        compared = BatchPairs(
            positions[: self._size], positions[self._size :], torch.from_numpy(pairs.same[chosen].copy())
        )
        return self._batch(np.concatenate([pairs.first[chosen], pairs.second[chosen]]), compared)

    def _batch(self, indices: npt.NDArray[np.int64], pairs: BatchPairs | None) -> Batch:
        return Batch(
            images=torch.from_numpy(np.ascontiguousarray(self._images[indices])),
            patients=torch.from_numpy(self._patients[indices]),
            findings=torch.from_numpy(self._findings[indices]),
            pairs=pairs,
        )


def load_material(manifest: Path, cache: Path, config: TrainingConfig, atlas: Atlas | None = None) -> Material:
    """Read the training split of the datasets named in `config`, with its phantoms; prepared images lie in `cache`.

    With an atlas all are laid onto its mean chest.

    Raises:
        ConfigInvalid: a group names a dataset without training images.
        ManifestInvalid: the manifest or an image cannot be read.
    """
    rows = frontal_rows(manifest, config, Split.TRAIN)
    _check_datasets({row.dataset for row in rows} | ({PHANTOM} if config.phantoms else set()), config)
    parts = [prepared_images(rows, cache)] if rows else []
    if config.phantoms:
        drawn = cached_phantoms(config.phantoms, _EXAMS, config.seed, cache)
        rows += [_phantom_row(person) for person in range(len(drawn)) for _ in range(_EXAMS)]
        parts.append(drawn.reshape(-1, *drawn.shape[2:]))
    images = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return Material(rows, laid_images(atlas, images, "training images"), config)


def frontal_rows(manifest: Path, config: TrainingConfig, split: Split) -> list[ImageRow]:
    """Images of one split of the datasets named in `config`, of patients whose numbers can be trusted, without lateral
    views.

    Raises:
        ManifestInvalid: the manifest cannot be read.
    """
    rows, wanted = trusted(read_manifest(manifest)), config.datasets
    return [row for row in rows if row.dataset in wanted and row.split is split and row.view != LATERAL]


def _check_datasets(present: set[str], config: TrainingConfig) -> None:
    missing = sorted(set(config.datasets) - present)
    if missing:
        raise ConfigInvalid(
            f"The manifest has no training images of {', '.join(missing)}, which the configuration's groups name; "
            f"it has some of {', '.join(sorted(present)) or 'no dataset'}."
        )


def _phantom_row(person: int) -> ImageRow:
    return ImageRow(Path(), "", PHANTOM, f"{PHANTOM}:{person}", Split.TRAIN, "", "")


def _group(rows: Sequence[ImageRow], datasets: Sequence[str], patients: int, paired_share: float) -> PatientGroup:
    indices = [index for index, row in enumerate(rows) if row.dataset in datasets]
    if not indices:
        raise ConfigInvalid(f"There are no training images of {', '.join(datasets)} in the manifest.")
    return PatientGroup(group_patients([row.patient for row in rows], indices), patients, paired_share)
