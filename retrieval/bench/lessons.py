"""How networks of the comparison are trained: on which images, from which weights, for how long."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from retrieval.bench.training_time import TrainingTime
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.source import LATERAL
from retrieval.errors import ManifestInvalid
from retrieval.evaluation.selection import drawn
from retrieval.networks import Backbone
from retrieval.training.config import NetworkConfig, Precision
from retrieval.training.loop import Trainer

_PROGRESS = Console(stderr=True)
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
class Lessons:
    """What networks are trained with.

    Attributes:
        manifest: CSV of images; those of its training split are learned from. cache: folder for prepared images.
        datasets: whose images; those of all data sets if empty.
        folder: where a run that is stopped lies until it is gone on with.
        weights: starting weights of backbones, by torchvision's name.
        effort: of Siamese networks from ImageNet weights; blank: from random ones. hashing: of hash networks.
        pretrained: let torchvision download ImageNet weights of the others.
        heat_maps: folder that keeps where hash networks look in some of the compared images; nothing if None.
        time: for the training of all networks.
    """

    manifest: Path
    cache: Path
    datasets: tuple[str, ...]
    folder: Path
    weights: dict[str, Path]
    effort: Effort
    blank: Effort
    hashing: HashEffort
    pretrained: bool = False
    heat_maps: Path | None = None
    time: TrainingTime = field(default_factory=TrainingTime)

    def starts(self, backbone: str) -> bool:
        """Whether there are ImageNet weights for a backbone of this name."""
        return self.pretrained or backbone in self.weights

    def effort_of(self, backbone: str) -> Effort:
        """How a Siamese network with this backbone is trained."""
        return self.effort if self.starts(backbone) else self.blank


def precision() -> Precision:
    """What networks compute in: processors gain nothing by bfloat16, and most would only imitate it, slowly."""
    return Precision.BF16 if torch.cuda.is_available() else Precision.FP32


def averaging(steps: int) -> float:
    """Decay of the moving average of the weights in a run of so many steps."""
    return 0.99 if steps > 500 else 0.9 if steps >= WORTH_KEEPING else 0.5


def network_config(backbone: str, lessons: Lessons) -> NetworkConfig:
    """The backbone, with mean and deviation of pixels as its starting weights expect them."""
    network = NetworkConfig(backbone=backbone)
    if lessons.pretrained and backbone not in lessons.weights:
        return replace(network, mean=_IMAGENET_MEAN, std=_IMAGENET_STD)
    return network


def begins_from(lessons: Lessons, backbone: str) -> str:
    """What a backbone starts from, for the tables."""
    return "ImageNet" if lessons.starts(backbone) else "random weights"


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


def finish(trainer: Trainer, name: str, folder: Path, limit: TrainingTime) -> bool:
    """Train with a progress bar, from where an earlier run was stopped, to the end or as long as there is time.

    Returns:
        Whether all steps are done. The run's folder is cleared then; else it keeps what a later run goes on from.
    """
    left = trainer.config.steps - trainer.step
    with limit.share(), closing(trainer.run()) as steps:
        for _ in track(steps, description=f"training {name}", total=left, console=_PROGRESS):
            if limit.up:
                break
    if trainer.finished:
        shutil.rmtree(folder)
    else:
        trainer.save()
    return trainer.finished


def lesson_said(trainer: Trainer, batch: int, size: int, chests: int) -> str:
    """What a network was trained on, for the tables: steps of so many images at a side of `size` pixels."""
    steps = trainer.config.steps
    done = f"{steps}" if trainer.finished else f"{trainer.step} of {steps}"
    return f"{done} steps of {batch} images at {size} pixels on {chests:,} chests"


def run_folder(lessons: Lessons, key: str, made_from: str, effort: Effort | HashEffort, backbone: str) -> Path:
    """Where a run lies until it is finished; one that is made from something else, as a text, is another run."""
    text = f"{made_from} {effort} {begins_from(lessons, backbone)}"
    return lessons.folder / f"{key}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


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


def lesson_rows(lessons: Lessons, most: int | None) -> list[ImageRow]:
    """The images to learn from: frontal ones of the training split, at most so many; all if None."""
    rows = [row for row in read_manifest(lessons.manifest, lessons.datasets) if row.split is Split.TRAIN]
    rows = [row for row in rows if row.view != LATERAL]
    if most is None or len(rows) <= most:
        return rows
    each = most // len(lessons.datasets)
    images = Counter(row.patient for row in rows)
    chosen: list[int] = []
    for name in lessons.datasets:
        mine = [i for i, row in enumerate(rows) if row.dataset == name and images[row.patient] > 1]
        chosen += drawn(rows, mine, each)
    return [rows[i] for i in sorted(chosen)]
