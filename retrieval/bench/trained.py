"""Siamese networks that are trained for the comparison: P3's two kinds and P1's margins, negatives and backbones."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from retrieval.bench.method import About, ArrayMethod, Images, Matrix
from retrieval.data.augment import Augmentation
from retrieval.data.cache import prepared_images
from retrieval.data.hard_negatives import AlikeOnPaper
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.pair_list import make_pairs, write_pairs
from retrieval.data.source import LATERAL
from retrieval.errors import ManifestInvalid
from retrieval.evaluation.selection import drawn
from retrieval.losses.identity import LossName
from retrieval.networks import AttentionHashNetwork, Backbone, Branches
from retrieval.training.build import embed
from retrieval.training.config import GroupConfig, LossConfig, NetworkConfig, TrainingConfig
from retrieval.training.loop import Trainer
from retrieval.training.material import Material

_PROGRESS = Console(stderr=True)
UNCHANGED = Augmentation(**{field.name: 0.0 for field in fields(Augmentation)})
"""Images as they are: the papers' runs without augmentation."""
_TURNED = replace(UNCHANGED, rotation=5.0, zoom_in=0.05, zoom_out=0.05)
"""P1's augmentation: turned by up to 5 degrees, slightly zoomed."""
_RATE = 1e-4
WORTH_KEEPING = 100
"""Steps from which a run is gone on with after a stop."""
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of what torchvision's weights were trained on, pixels in [0, 1]."""


@dataclass(frozen=True)
class Effort:
    """How long and how finely networks are trained.

    Attributes:
        steps: optimiser steps of each. size: image side, pixels. patients: in a batch, two images of each.
        images: to learn from, at most, whole patients with several images drawn at random; all if None.
    """

    steps: int
    size: int
    patients: int
    images: int | None = None


@dataclass(frozen=True)
class HashEffort:
    """How long and how finely hashing is learned.

    Attributes:
        steps: optimiser steps of each network. size: image side, pixels. batch: images of a step, even.
        images: training images at most of each dataset. backbone: torchvision's name.
    """

    steps: int
    size: int
    batch: int
    images: int
    backbone: str


@dataclass(frozen=True)
class Recipe:
    """One trained network of the comparison.

    Attributes:
        key, name, source: see `About`.
        backbone: torchvision's name. loss, margin: of the embedding.
        rounds: of hard negatives. augmented: whether images are turned and zoomed.
        listed: whether batches are drawn from a list of pairs that is made before training (P3, algorithm 2).
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


@dataclass(frozen=True)
class Lessons:
    """What networks are trained with.

    Attributes:
        manifest: CSV of images; those of its training split are learned from. cache: folder for prepared images.
        datasets: whose images; those of all data sets if empty.
        folder: where a run that is stopped lies until it is gone on with.
        weights: starting weights of backbones, by torchvision's name.
        effort, hashing: see `Effort` and `HashEffort`, of Siamese and of hash networks.
        pretrained: let torchvision download ImageNet weights of the others.
        heat_maps: folder that keeps where hash networks look in some of the compared images; nothing if None.
    """

    manifest: Path
    cache: Path
    datasets: tuple[str, ...]
    folder: Path
    weights: dict[str, Path]
    effort: Effort
    hashing: HashEffort
    pretrained: bool = False
    heat_maps: Path | None = None


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
        steps, begun = lessons.effort.steps, begins_from(lessons, recipe.backbone)
        lessons = replace(lessons, datasets=learnable(lessons.manifest, lessons.datasets))
        rows = lesson_rows(lessons)
        self.about = About(
            recipe.key, recipe.name, recipe.source, f"{steps} steps on {len(rows):,} chests from {begun}"
        )
        run = lessons.folder / recipe.key
        config = _config(recipe, lessons)
        if recipe.listed:
            run.mkdir(parents=True, exist_ok=True)
            config = replace(config, pairs=str(run / "pairs.csv"))
            write_pairs(Path(config.pairs), rows, make_pairs(rows, AlikeOnPaper(rows), config.seed, quiet=True))
        torch.manual_seed(config.seed)
        network = SiameseNetwork(config.network)
        begin(network.backbone, lessons)
        material = Material(rows, prepared_images(rows, lessons.cache), config)
        trainer = Trainer(config, network, material, run, checkpoints=steps >= WORTH_KEEPING)
        finish(trainer, recipe.name, run)
        self._network = trainer.averaged.eval()
        self._loss = trainer.objective.identity.eval()
        self._size = config.size

    def represent(self, images: Images) -> Matrix:
        """Embeddings float32 (n, dim), L2-normalised."""
        return embed(self._network, images, self._size)

    def similarity(self, first: Matrix, second: Matrix) -> Matrix:
        """Cosines, or logits of the head on |x₁ − x₂|: float32 (n, m)."""
        place = next(self._network.parameters()).device
        with torch.inference_mode():
            both = torch.from_numpy(np.concatenate([first, second])).to(place)
            matrix = self._loss.similarity(both)[: len(first), len(first) :]
        return np.asarray(matrix.float().cpu().numpy(), dtype=np.float32)


def network_config(backbone: str, lessons: Lessons) -> NetworkConfig:
    """The backbone, with mean and deviation of pixels as its starting weights expect them."""
    network = NetworkConfig(backbone=backbone)
    if lessons.pretrained and backbone not in lessons.weights:
        return replace(network, mean=_IMAGENET_MEAN, std=_IMAGENET_STD)
    return network


def begins_from(lessons: Lessons, backbone: str) -> str:
    """What a backbone starts from, for the tables."""
    return "ImageNet" if backbone in lessons.weights or lessons.pretrained else "random weights"


def begin(backbone: Backbone, lessons: Lessons) -> None:
    """Give a freshly made backbone its starting weights, if there are any.

    Raises:
        WeightsNotUsable: the file does not fit.
    """
    start = lessons.weights.get(backbone.name)
    if start is not None:
        backbone.load_torchvision_file(start)
    elif lessons.pretrained:
        backbone.load_state_dict(Backbone(backbone.name, pretrained=True).state_dict())


def finish(trainer: Trainer, name: str, folder: Path) -> None:
    """Train to the end with a progress bar, from where an earlier run was stopped, and clear the run's folder."""
    left = trainer.config.steps - trainer.step
    for _ in track(trainer.run(), description=f"training {name}", total=left, console=_PROGRESS):
        pass
    shutil.rmtree(folder)


def learnable(manifest: Path, datasets: Sequence[str]) -> tuple[str, ...]:
    """Those of the data sets, or of all if none is named, whose training split has patients with two images.

    Raises:
        ManifestInvalid: there is none.
    """
    rows = [row for row in read_manifest(manifest, datasets or None) if row.split is Split.TRAIN]
    images = Counter(row.patient for row in rows)
    found = {row.dataset for row in rows if images[row.patient] > 1}
    if not found:
        raise ManifestInvalid(
            f"Nothing can be learned from {manifest}: its training split has no patient with two images. Choose "
            "methods that need no training, or give some patients the split train."
        )
    return tuple(sorted(found))


def lesson_rows(lessons: Lessons) -> list[ImageRow]:
    """The images to learn from: frontal ones of the training split, at most as many as the effort says."""
    rows = [row for row in read_manifest(lessons.manifest, lessons.datasets) if row.split is Split.TRAIN]
    rows = [row for row in rows if row.view != LATERAL]
    if lessons.effort.images is None or len(rows) <= lessons.effort.images:
        return rows
    each = lessons.effort.images // len(lessons.datasets)
    images = Counter(row.patient for row in rows)
    chosen: list[int] = []
    for name in lessons.datasets:
        mine = [i for i, row in enumerate(rows) if row.dataset == name and images[row.patient] > 1]
        chosen += drawn(rows, mine, each)
    return [rows[i] for i in sorted(chosen)]


def _config(recipe: Recipe, lessons: Lessons) -> TrainingConfig:
    effort = lessons.effort
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
        rate=_RATE,
        average=0.99 if effort.steps > 500 else 0.5,
        rounds=recipe.rounds,
        validate_every=0,
        save_every=max(50, effort.steps // 10),
        threads=torch.get_num_threads(),
    )
