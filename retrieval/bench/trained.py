"""Siamese networks that are trained for the comparison: P3's two kinds and P1's margins, negatives and backbones."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from retrieval.bench.lessons import (
    WORTH_KEEPING,
    Effort,
    Lessons,
    averaging,
    begin,
    begins_from,
    finish,
    learnable,
    lesson_rows,
    lesson_said,
    network_config,
    precision,
    run_folder,
)
from retrieval.bench.method import About, ArrayMethod, Images, Matrix
from retrieval.data.augment import Augmentation
from retrieval.data.cache import prepared_images
from retrieval.data.hard_negatives import AlikeOnPaper
from retrieval.data.pair_list import make_pairs, write_pairs
from retrieval.losses.identity import LossName
from retrieval.networks import AttentionHashNetwork, Backbone, Branches
from retrieval.training.build import embed
from retrieval.training.config import GroupConfig, LossConfig, NetworkConfig, Precision, TrainingConfig
from retrieval.training.loop import Trainer
from retrieval.training.material import Material

UNCHANGED = Augmentation(**{field.name: 0.0 for field in fields(Augmentation)})
"""Images as they are: the papers' runs without augmentation."""
_TURNED = replace(UNCHANGED, rotation=5.0, zoom_in=0.05, zoom_out=0.05)
"""P1's augmentation: turned by up to 5 degrees, slightly zoomed."""


@dataclass(frozen=True)
class Recipe:
    """One trained network of the comparison.

    Attributes:
        key, name, source: see `About`.
        backbone: torchvision's name. loss, margin: of the embedding.
        rounds: of hard negatives. augmented: whether images are turned and zoomed.
        listed: whether batches are drawn from a list of pairs that is made before training (P3, algorithm 2).
        rate: highest learning rate.
    """

    key: str
    name: str
    source: str
    backbone: str
    loss: LossName
    margin: float | None = None
    rounds: int = 0
    augmented: bool = False
    listed: bool = False
    rate: float = 1e-4


class SiameseNetwork(AttentionHashNetwork):
    """The embedding alone, as P1 and P3 have it: nothing is hashed, all codes are zero.

    Args:
        config: backbone, embedding, mean and std.
    """

    def __init__(self, config: NetworkConfig) -> None:
        backbone, dim, bits = Backbone(config.backbone), config.embedding_dim, config.bits
        super().__init__(backbone, dim, bits, mean=config.mean, std=config.std, branches=Branches.GLOBAL)
        del self.refine_global

    def _hash(self, deep: Tensor) -> tuple[Tensor, Tensor]:
        return deep.new_zeros(len(deep), self.hash.out_features), deep.new_zeros(len(deep), 1, *deep.shape[2:])


class TrainedMethod(ArrayMethod):
    """A Siamese network, trained when it is made; compared as its loss compares.

    Args:
        recipe: which. lessons: on what.

    Raises:
        ManifestInvalid: the manifest has no image to learn from.
    """

    def __init__(self, recipe: Recipe, lessons: Lessons) -> None:
        lessons = replace(lessons, datasets=learnable(lessons.manifest, lessons.datasets))
        effort = lessons.effort_of(recipe.backbone)
        rows = lesson_rows(lessons, effort.images)
        run = run_folder(lessons, recipe.key, str(recipe), effort, recipe.backbone)
        config = _config(recipe, lessons, effort)
        if recipe.listed:
            run.mkdir(parents=True, exist_ok=True)
            config = replace(config, pairs=str(run / "pairs.csv"))
            write_pairs(Path(config.pairs), rows, make_pairs(rows, AlikeOnPaper(rows), config.seed, quiet=True))
        torch.manual_seed(config.seed)
        network = SiameseNetwork(config.network)
        begin(network.backbone, lessons)
        material = Material(rows, prepared_images(rows, lessons.cache), config)
        trainer = Trainer(config, network, material, run, checkpoints=effort.steps >= WORTH_KEEPING)
        self.finished = finish(trainer, recipe.name, run, lessons.time)
        done = lesson_said(trainer, 2 * effort.patients, effort.size, len(rows))
        self.about = About(
            recipe.key, recipe.name, recipe.source, f"{done} from {begins_from(lessons, recipe.backbone)}"
        )
        self._network = trainer.averaged.eval()
        self._loss = trainer.objective.identity.eval()
        self._size = config.size

    def represent(self, images: Images) -> Matrix:
        """Embeddings float32 (n, dim), L2-normalised."""
        return embed(self._network, images, self._size, half=precision() is Precision.BF16)

    def similarity(self, first: Matrix, second: Matrix) -> Matrix:
        """Cosines, or logits of the head on |x₁ − x₂|: float32 (n, m)."""
        place = next(self._network.parameters()).device
        with torch.inference_mode():
            both = torch.from_numpy(np.concatenate([first, second])).to(place)
            matrix = self._loss.similarity(both)[: len(first), len(first) :]
        return np.asarray(matrix.float().cpu().numpy(), dtype=np.float32)


def _config(recipe: Recipe, lessons: Lessons, effort: Effort) -> TrainingConfig:
    network = network_config(recipe.backbone, lessons)
    return TrainingConfig(
        name=recipe.key,
        network=network,
        groups=(GroupConfig(lessons.datasets, effort.patients, 1.0),),
        losses=LossConfig(identity=recipe.loss, margin=recipe.margin, hash_weight=0.0, code_weight=0.0),
        augmentation=_TURNED if recipe.augmented else UNCHANGED,
        size=effort.size,
        network_size=effort.size,
        steps=effort.steps,
        warmup=min(100, effort.steps // 10),
        rate=recipe.rate,
        average=averaging(effort.steps),
        rounds=recipe.rounds,
        validate_every=0,
        save_every=max(50, effort.steps // 10),
        precision=precision(),
        threads=torch.get_num_threads(),
    )
