"""Batches for hash networks: images of known findings, of every dataset alike, each of another patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from retrieval.bench.hashing.labels import Labels
from retrieval.data.manifest import ImageRow
from retrieval.training.config import TrainingConfig
from retrieval.training.material import Batch, Material


class FindingsMaterial(Material):
    """Images drawn for their findings.

    Args:
        rows, images, config: see `Material`; a batch has `config.images_per_step` images, or fewer where there are not
            so many patients.
        labels: of the images; what a batch gives as findings.
    """

    def __init__(
        self, rows: Sequence[ImageRow], images: npt.NDArray[np.uint8], config: TrainingConfig, labels: Labels
    ) -> None:
        super().__init__(rows, images, config)
        self._labels = labels.table
        names = sorted({row.dataset for row in rows})
        self._parts = [np.array([i for i, row in enumerate(rows) if row.dataset == name]) for name in names]
        self._count = config.images_per_step

    def draw(self, step: int) -> Batch:
        """The batch of a step; the same step always gives the same batch, so a resumed run repeats nothing."""
        rng = np.random.default_rng([self._seed, step])
        quotas = rng.multinomial(self._count, np.full(len(self._parts), 1 / len(self._parts)))
        drawn = [
            self._of_patients(rng.permutation(part), quota) for part, quota in zip(self._parts, quotas, strict=True)
        ]
        chosen = np.concatenate(drawn)
        return Batch(
            images=torch.from_numpy(np.ascontiguousarray(self._images[chosen])),
            patients=torch.from_numpy(self._patients[chosen]),
            findings=torch.from_numpy(self._labels[chosen]),
        )

    def _of_patients(self, order: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
        """The first `count` of these images, without a second one of a patient."""
        _, first = np.unique(self._patients[order], return_index=True)
        return order[np.sort(first)[:count]]
