"""Validation during training: how well the averaged weights recognise patients that the run does not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split
from retrieval.errors import ConfigInvalid
from retrieval.evaluation.pairs import fair_pairs, numbered
from retrieval.evaluation.search import search
from retrieval.evaluation.verification import RankedPairs
from retrieval.losses import IdentityLoss
from retrieval.networks import AttentionHashNetwork
from retrieval.networks.atlas import Atlas
from retrieval.training.atlas import laid_images
from retrieval.training.build import encode
from retrieval.training.config import Precision, TrainingConfig
from retrieval.training.curve import MEAN, Validation
from retrieval.training.material import frontal_rows

Numbers = npt.NDArray[np.int64]

_FIGURES = ("auc", "tpr_at_fpr_1e2", "precision_at_1")


class Validator:
    """Measures a network on validation patients, each dataset apart.

    What is compared is what the run trains: the embedding, or the identity half of the code where identity_weight is 0.

    Args:
        rows: images of the validation split.
        images: uint8 (n, h, w), prepared, in the order of `rows`.
        config: of the run.

    Raises:
        ConfigInvalid: no dataset has both a patient with two images and a second patient.
    """

    def __init__(self, rows: Sequence[ImageRow], images: npt.NDArray[np.uint8], config: TrainingConfig) -> None:
        self._rows = rows
        self._images = images
        self._config = config
        datasets = {name: [i for i, row in enumerate(rows) if row.dataset == name] for name in config.datasets}
        self._datasets = {name: chosen for name, chosen in datasets.items() if self._usable(chosen)}
        if not self._datasets:
            raise ConfigInvalid(
                "No dataset of the run has validation patients with two images; give some patients of the manifest the "
                "split val, or set validate_every = 0."
            )

    def measure(self, network: AttentionHashNetwork, loss: IdentityLoss, step: int) -> list[Validation]:
        """Figures of each dataset, and their mean as the last.

        Args:
            network: in evaluation mode.
            loss: its `similarity` compares embeddings.
            step: after which this is.
        """
        half = self._config.precision is Precision.BF16
        embedding, code = encode(network, self._images, self._config.size, half)
        found = []
        for name, chosen in self._datasets.items():
            matrix = self._similarity(embedding[chosen], code[chosen], loss)
            found.append(self.figures_of(name, matrix, step))
        auc, tpr, precision = (float(np.nanmean([getattr(row, name) for row in found])) for name in _FIGURES)
        images, patients = (sum(getattr(row, name) for row in found) for name in ("images", "patients"))
        return [*found, Validation(step, MEAN, images, patients, auc, tpr, precision)]

    def figures_of(self, dataset: str, similarity: npt.NDArray[np.float32], step: int) -> Validation:
        """Figures of one dataset from the similarities (n, n) of its n validation images, in the order of the rows."""
        chosen = self._datasets[dataset]
        numbers, first, second = self._pairs(chosen)
        same = numbers[first] == numbers[second]
        operating = RankedPairs(similarity[first, second], same, (numbers[first], numbers[second])).operating()
        return Validation(
            step=step,
            dataset=dataset,
            images=len(chosen),
            patients=int(numbers.max()) + 1,
            auc=operating.auc(),
            tpr_at_fpr_1e2=operating.true_positive_rate(0.01),
            precision_at_1=search(similarity, numbers).precision_at_1,
        )

    def _similarity(
        self, embedding: npt.NDArray[np.float32], code: npt.NDArray[np.float32], loss: IdentityLoss
    ) -> npt.NDArray[np.float32]:
        if self._config.losses.identity_weight == 0:
            signs = np.where(code[:, : code.shape[1] // 2] > 0, 1, -1).astype(np.float32)
            return signs @ signs.T
        with torch.inference_mode():
            place = next(iter(loss.parameters()), torch.empty(0)).device
            matrix: Tensor = loss.similarity(torch.from_numpy(embedding).to(place))
            return matrix.float().cpu().numpy()

    def _usable(self, chosen: list[int]) -> bool:
        if not chosen:
            return False
        numbers, first, second = self._pairs(chosen)
        same = numbers[first] == numbers[second]
        return bool(same.any() and not same.all())

    def _pairs(self, chosen: list[int]) -> tuple[Numbers, Numbers, Numbers]:
        """Patient numbers of the images, and the positions among them of all pairs that may be compared."""
        numbers = numbered([self._rows[i].patient for i in chosen])
        return numbers, *fair_pairs(numbers, numbered([self._rows[i].view for i in chosen]))


def load_validator(manifest: Path, cache: Path, config: TrainingConfig, atlas: Atlas | None = None) -> Validator:
    """Read the validation split of the run's datasets, laid onto a mean chest; prepared images lie in `cache`.

    Raises:
        ConfigInvalid: there are no validation patients that could be compared.
    """
    rows = frontal_rows(manifest, config, Split.VAL)
    images = prepared_images(rows, cache) if rows else np.empty((0, 1, 1), np.uint8)
    return Validator(rows, laid_images(atlas, images, "validation images"), config)
