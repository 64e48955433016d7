"""The configuration of a training run: what it may hold, and what of it must fit together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from retrieval.data.augment import Augmentation
from retrieval.errors import ConfigInvalid
from retrieval.losses.identity import ON_PAIRS, IdentityOptions, LossName, MinerName
from retrieval.regional_options import RegionalOptions


class Precision(StrEnum):
    """What the network computes in."""

    BF16 = "bf16"
    FP32 = "fp32"


class Optimiser(StrEnum):
    """What moves the weights: AdamW, or SGD with momentum (P4)."""

    ADAMW = "adamw"
    SGD = "sgd"


class Schedule(StrEnum):
    """How the rate falls after the warm-up: along a cosine, or to a tenth after 40 % of the steps (P4)."""

    COSINE = "cosine"
    STEP = "step"


class Kept(StrEnum):
    """Which weights are exported: those of the last step, or those that validated best."""

    LAST = "last"
    BEST = "best"


@dataclass(frozen=True)
class NetworkConfig:
    """Which network: see `AttentionHashNetwork`; mean and std belong to the backbone's starting weights.

    Attributes:
        frozen: stages at the start of the backbone that keep their starting weights.
        hash_trains_backbone: whether the gradient of the hash branch reaches the backbone, as in P4.
    """

    backbone: str = "mobilenet_v2"
    embedding_dim: int = 256
    bits: int = 128
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    frozen: int = 0
    hash_trains_backbone: bool = True

    def __post_init__(self) -> None:
        if self.bits < 16 or self.bits % 16:
            raise ConfigInvalid(f"bits must be a multiple of 16, not {self.bits}.")
        if self.embedding_dim < 1:
            raise ConfigInvalid(f"embedding_dim must be at least 1, not {self.embedding_dim}.")


@dataclass(frozen=True)
class RegionalConfig(RegionalOptions):
    """The regional network that is fitted when a finished run is exported; see `retrieval.training.regional`.

    Attributes:
        trained_share: of the run's own backbone in the trunk; the rest keeps the weights that the trunk starts from.
        single: most patients with one image, of each kind (adults, children), that it is fitted on beside those with
            several.
    """

    trained_share: float = 0.0
    single: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.trained_share <= 1:
            raise ConfigInvalid(f"trained_share must be from 0 to 1, not {self.trained_share}.")
        if self.single < 0:
            raise ConfigInvalid(f"single must not be negative, and is {self.single}.")


@dataclass(frozen=True)
class GroupConfig:
    """One group of the patient sampler: the datasets it is drawn from; see `PatientGroup`."""

    datasets: tuple[str, ...]
    patients: int
    paired_share: float = 0.6

    def __post_init__(self) -> None:
        if self.patients < 1 or not self.datasets:
            raise ConfigInvalid("datasets must name at least one dataset, and patients be at least 1.")


@dataclass(frozen=True)
class LossConfig:
    """The loss is `identity_weight·identity + hash_weight·joint + code_weight·code`.

    Attributes:
        identity: loss of the embedding; temperature, margin, miner and memory are its own, see `IdentityOptions`.
        hash_weight: of P4's joint loss of the hash code, with its alpha, beta and hash_margin (see `JointHashLoss`).
        code_weight: of the supervised contrastive loss on the identity half of the code.
        parameter_rate: how many times faster the loss's own parameters learn (classes of `arcface`, ...).
    """

    identity: LossName = LossName.SUPCON
    identity_weight: float = 1.0
    temperature: float = 0.1
    margin: float | None = None
    miner: MinerName = MinerName.AUTO
    memory: int = 0
    hash_weight: float = 0.5
    code_weight: float = 0.3
    alpha: float = 0.5
    beta: float = 0.5
    hash_margin: float = math.sqrt(2)
    parameter_rate: float = 10.0

    def __post_init__(self) -> None:
        weights = (self.identity_weight, self.hash_weight, self.code_weight)
        if min(weights) < 0 or not any(weights):
            raise ConfigInvalid("identity_weight, hash_weight and code_weight must not be negative, nor all be 0.")
        if self.parameter_rate <= 0:
            raise ConfigInvalid(f"parameter_rate must be above 0, not {self.parameter_rate}.")
        _ = self.options

    @property
    def options(self) -> IdentityOptions:
        """What belongs to the identity loss."""
        return IdentityOptions(self.identity, self.temperature, self.margin, self.miner, self.memory)


@dataclass(frozen=True)
class TrainingConfig:
    """A whole run.

    Attributes:
        name: of the weight file that is written.
        regional: the network beside the trained one; none if the table is missing.
        size: image side in pixels during training. network_size: side the exported encoder works at.
        steps: optimiser steps. warmup: of these, steps of rising learning rate; then it falls as `schedule` says.
        optimiser: `adamw` or `sgd`. rate: highest learning rate. decay: weight decay. momentum: of `sgd`.
        clip: largest length of the gradient; a longer one is shortened to it.
        average: decay of the exponential moving average of the weights, which is what is exported.
        phantoms: how many synthetic persons to draw; groups may then name the dataset `phantom`.
        start: whose weights the run starts from: checkpoint of an earlier run, weight file, or the name of a shipped
            one; "" for none.
        pairs: pair list to draw batches from, for the losses `contrastive`, `contrastive_squared` and `verification`;
            "" to draw patients.
        hard_negatives: find each patient's rivals with the network the run starts from, and batch them together.
        rounds: how often rivals are found anew during the run, after equal shares of the steps (P1: 2).
        rivals: how many of the most similar other patients are a patient's rivals.
        aligned: lay each image onto a mean chest before the networks see it, see `Atlas`: that of the weights the run
            starts from, or one found from the training images.
        earlier_share: of the earlier stage's weights in what is exported (weight averaging, Wortsman et al. 2022).
        validate_every: steps between validations on the split `val`; 0 for none.
        export: whether the `last` or the `best` validated weights are exported.
        precision: `bf16` or `fp32`. device: `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:1`, ...
        threads: CPU threads. save_every: steps between checkpoints. seed: of everything random.
    """

    name: str
    network: NetworkConfig
    groups: tuple[GroupConfig, ...]
    losses: LossConfig = field(default_factory=LossConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    regional: RegionalConfig | None = None
    aligned: bool = False
    size: int = 192
    network_size: int = 192
    steps: int = 1200
    warmup: int = 50
    optimiser: Optimiser = Optimiser.ADAMW
    schedule: Schedule = Schedule.COSINE
    rate: float = 4e-4
    decay: float = 1e-4
    momentum: float = 0.9
    clip: float = 5.0
    average: float = 0.995
    phantoms: int = 0
    start: str = ""
    pairs: str = ""
    hard_negatives: bool = False
    rounds: int = 0
    rivals: int = 10
    earlier_share: float = 0.0
    validate_every: int = 200
    export: Kept = Kept.LAST
    precision: Precision = Precision.BF16
    device: str = "auto"
    threads: int = 2
    save_every: int = 50
    seed: int = 1

    def __post_init__(self) -> None:
        for key in ("size", "network_size", "steps", "threads", "save_every", "rivals"):
            if getattr(self, key) < 1:
                raise ConfigInvalid(f"{key} must be at least 1, not {getattr(self, key)}.")
        for key in ("rate", "clip"):
            if getattr(self, key) <= 0:
                raise ConfigInvalid(f"{key} must be above 0, not {getattr(self, key)}.")
        for key in ("warmup", "decay", "phantoms", "rounds", "validate_every", "seed"):
            if getattr(self, key) < 0:
                raise ConfigInvalid(f"{key} must not be negative, and is {getattr(self, key)}.")
        for key in ("average", "momentum", "earlier_share"):
            if not 0 <= getattr(self, key) < 1:
                raise ConfigInvalid(f"{key} must be from 0 to below 1, not {getattr(self, key)}.")
        self._check_fit()

    def _check_fit(self) -> None:
        if not self.groups:
            raise ConfigInvalid(
                "groups are missing: at least one [[groups]] table with datasets and patients is needed."
            )
        if self.warmup >= self.steps:
            raise ConfigInvalid(f"warmup ({self.warmup}) must be shorter than steps ({self.steps}).")
        if self.rounds >= self.steps:
            raise ConfigInvalid(f"rounds ({self.rounds}) must be fewer than steps ({self.steps}).")
        if self.losses.memory and self.losses.memory < self.images_per_step:
            raise ConfigInvalid(f"memory must hold a batch of {self.images_per_step}, not {self.losses.memory} images.")
        if self.pairs and self.losses.identity not in ON_PAIRS:
            raise ConfigInvalid(f"pairs need the loss contrastive or verification, not {self.losses.identity}.")
        if self.pairs and (self.rounds or self.hard_negatives or self.phantoms):
            raise ConfigInvalid("pairs are a fixed list: leave out rounds, hard_negatives and phantoms, or pairs.")
        if self.export is Kept.BEST and not self.validate_every:
            raise ConfigInvalid('export = "best" needs validate_every above 0.')

    @property
    def images_per_step(self) -> int:
        """How many images a batch holds: two of each patient, or those of as many pairs."""
        return 2 * sum(group.patients for group in self.groups)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every dataset that the run learns from, sorted."""
        return tuple(sorted({name for group in self.groups for name in group.datasets}))
