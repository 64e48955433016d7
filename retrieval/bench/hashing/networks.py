"""Hash networks that are trained for the comparison: P4's, whole and in part, and those that it compares with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from retrieval.bench.extras import Extra
from retrieval.bench.hashing.heat_maps import HeatMaps, examples, prepared
from retrieval.bench.hashing.labels import Labels, labels_of, learnable_findings, training_rows
from retrieval.bench.hashing.material import FindingsMaterial
from retrieval.bench.hashing.methods import HashMethod
from retrieval.bench.lessons import (
    WORTH_KEEPING,
    HashEffort,
    Lessons,
    averaging,
    begin,
    begins_from,
    finish,
    lesson_said,
    network_config,
    precision,
    run_folder,
)
from retrieval.bench.method import About, Images, Matrix
from retrieval.bench.trained import UNCHANGED
from retrieval.data.cache import prepared_images
from retrieval.evaluation.cohort import Cohort
from retrieval.networks import AttentionHashNetwork, Backbone, Branches, Descriptor
from retrieval.networks.input import network_input
from retrieval.training.build import encode
from retrieval.training.config import (
    GroupConfig,
    LossConfig,
    NetworkConfig,
    Optimiser,
    Precision,
    Schedule,
    TrainingConfig,
)
from retrieval.training.loop import Trainer

_UNUSED_DIM = 1
_RATE = 0.01


@dataclass(frozen=True)
class HashRecipe:
    """One trained hash network.

    Attributes:
        key, name, source: see `About`. bits: code length, a multiple of 16.
        loss: made for the network whose codes it judges.
        branches, descriptors: of the network, see `AttentionHashNetwork`.
        pictured: whether its attention is drawn, as in the paper's figure 5.
    """

    key: str
    name: str
    source: str
    bits: int
    loss: Callable[[AttentionHashNetwork], nn.Module]
    branches: Branches = Branches.BOTH
    descriptors: tuple[Descriptor, ...] = tuple(Descriptor)
    pictured: bool = False


class TrainedHash(HashMethod):
    """A hash network, trained when it is made.

    Args:
        recipe: which. lessons: on what.

    Raises:
        ManifestInvalid: no findings can be learned from the manifest.
    """

    def __init__(self, recipe: HashRecipe, lessons: Lessons) -> None:
        effort = lessons.hashing
        datasets = learnable_findings(lessons.manifest, lessons.datasets)
        rows = training_rows(lessons.manifest, datasets, effort.images)
        labels = labels_of(rows)
        network_of = replace(network_config(effort.backbone, lessons), embedding_dim=_UNUSED_DIM, bits=recipe.bits)
        patients = min(effort.batch // 2, len({row.patient for row in rows}))
        config = _config(recipe, effort, network_of, GroupConfig(datasets, patients, 1.0))
        torch.manual_seed(config.seed)
        network = _network(recipe, network_of, labels)
        begin(network.backbone, lessons)
        run = run_folder(lessons, recipe.key, recipe.loss.__name__, effort, effort.backbone)
        material = FindingsMaterial(rows, prepared_images(rows, lessons.cache), config, labels)
        kept = effort.steps >= WORTH_KEEPING
        trainer = Trainer(config, network, material, run, joint=recipe.loss(network), checkpoints=kept)
        self.finished = finish(trainer, recipe.name, run, lessons.time)
        done = lesson_said(trainer, config.images_per_step, effort.size, len(rows))
        begun = begins_from(lessons, effort.backbone)
        self.about = About(recipe.key, recipe.name, recipe.source, f"{done}, {effort.backbone} from {begun}")
        self._maps = lessons.heat_maps / f"{recipe.key}.npz" if recipe.pictured and lessons.heat_maps else None
        self._network = trainer.averaged.eval()
        self._size = effort.size
        self._half = config.precision is Precision.BF16

    def real_codes(self, images: Images) -> Matrix:
        """Real-valued codes float32 (n, bits)."""
        return encode(self._network, images, self._size, self._half)[1]

    def extras(self, represented: npt.NDArray[np.uint8], cohorts: Sequence[Cohort]) -> list[Extra]:
        """No table; keeps the attention over a few of the images, if it is to be drawn."""
        rows = examples(cohorts)
        if self._maps is not None and rows:
            images = prepared(rows)
            titles = tuple(f"{row.dataset}: {row.finding}" for row in rows)
            HeatMaps(self.about.name, titles, images, self.attention(images)).write(self._maps)
        return []

    def attention(self, images: Images) -> Matrix:
        """Weights of positions float32 (n, h', w') in (-1, 1) of prepared images uint8 (n, h, w)."""
        place = next(self._network.parameters()).device
        with torch.inference_mode():
            found = self._network(network_input(torch.from_numpy(images).to(place), self._size)).attention
        return np.asarray(found.float().cpu().numpy(), dtype=np.float32)


def _network(recipe: HashRecipe, config: NetworkConfig, labels: Labels) -> AttentionHashNetwork:
    return AttentionHashNetwork(
        Backbone(config.backbone),
        config.embedding_dim,
        config.bits,
        len(labels.names),
        mean=config.mean,
        std=config.std,
        branches=recipe.branches,
        descriptors=recipe.descriptors,
    )


def _config(recipe: HashRecipe, effort: HashEffort, network: NetworkConfig, group: GroupConfig) -> TrainingConfig:
    """P4's optimiser for all, so that they differ in network and loss alone."""
    return TrainingConfig(
        name=recipe.key,
        network=network,
        groups=(group,),
        losses=LossConfig(identity_weight=0.0, hash_weight=1.0, code_weight=0.0),
        augmentation=UNCHANGED,
        size=effort.size,
        network_size=effort.size,
        steps=effort.steps,
        warmup=min(100, effort.steps // 10),
        optimiser=Optimiser.SGD,
        schedule=Schedule.STEP,
        rate=_RATE,
        average=averaging(effort.steps),
        validate_every=0,
        save_every=max(50, effort.steps // 10),
        precision=precision(),
        threads=torch.get_num_threads(),
    )
