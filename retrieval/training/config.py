"""The configuration of a training run, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from retrieval.data.augment import Augmentation
from retrieval.errors import ConfigInvalid


@dataclass(frozen=True)
class NetworkConfig:
    """Which network: see `AttentionHashNetwork`; mean and std belong to the backbone's starting weights."""

    backbone: str = "mobilenet_v2"
    embedding_dim: int = 256
    bits: int = 128
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class GroupConfig:
    """One group of the patient sampler: the datasets it is drawn from; see `PatientGroup`."""

    datasets: tuple[str, ...]
    patients: int
    paired_share: float = 0.6


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses: identity embedding, P4's joint hash loss, identity half of the code."""

    temperature: float = 0.1
    hash_weight: float = 0.5
    code_weight: float = 0.3
    alpha: float = 0.5
    beta: float = 0.5


@dataclass(frozen=True)
class TrainingConfig:
    """A whole run.

    Attributes:
        name: of the weight file that is written.
        size: image side in pixels during training. network_size: side the exported encoder works at.
        steps: optimiser steps. warmup: of these, steps of rising learning rate; then it falls along a cosine.
        rate: highest learning rate (Adam). decay: weight decay.
        average: decay of the exponential moving average of the weights, which is what is exported.
        phantoms: how many synthetic persons to draw; groups may then name the dataset `phantom`.
        hard_negatives: find the most similar patients with the network the run starts from, and batch them together.
        earlier_share: of the earlier stage's weights in what is exported (weight averaging, Wortsman et al. 2022).
        precision: `bf16` or `fp32`.
        threads: CPU threads. save_every: steps between checkpoints. seed: of everything random.
    """

    name: str
    network: NetworkConfig
    groups: tuple[GroupConfig, ...]
    losses: LossConfig = field(default_factory=LossConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    size: int = 192
    network_size: int = 192
    steps: int = 1200
    warmup: int = 50
    rate: float = 4e-4
    decay: float = 1e-4
    average: float = 0.995
    phantoms: int = 0
    hard_negatives: bool = False
    earlier_share: float = 0.0
    precision: str = "bf16"
    threads: int = 2
    save_every: int = 50
    seed: int = 1

    def __post_init__(self) -> None:
        if self.precision not in ("bf16", "fp32"):
            raise ConfigInvalid(f"precision must be bf16 or fp32, not {self.precision!r}.")
        if not 0 <= self.warmup < self.steps:
            raise ConfigInvalid("warmup must be shorter than steps.")
        if self.network.bits % 16:
            raise ConfigInvalid(f"bits must be a multiple of 16, not {self.network.bits}.")
        if not 0 <= self.earlier_share < 1:
            raise ConfigInvalid(f"earlier_share must be from 0 to below 1, not {self.earlier_share}.")
        if not self.groups:
            raise ConfigInvalid("At least one [[groups]] table with datasets and patients is needed.")


Section = TypeVar("Section", NetworkConfig, GroupConfig, LossConfig, Augmentation, TrainingConfig)


def load_config(path: Path) -> TrainingConfig:
    """Read a training configuration.

    Raises:
        ConfigInvalid: unreadable, an unknown key, or a value out of range.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"The training configuration {path} cannot be read: {error}.") from error
    try:
        groups = tuple(_table(GroupConfig, table) for table in raw.pop("groups", []))
        return _table(
            TrainingConfig,
            raw,
            network=_table(NetworkConfig, raw.pop("network", {})),
            losses=_table(LossConfig, raw.pop("losses", {})),
            augmentation=_table(Augmentation, raw.pop("augmentation", {})),
            groups=groups,
        )
    except TypeError as error:
        raise ConfigInvalid(f"{path}: {error}.") from error


def _table(kind: type[Section], table: dict[str, Any], **ready: Any) -> Section:
    known = {f.name for f in fields(kind)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigInvalid(f"Unknown training option: {', '.join(unknown)}.")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return kind(**values, **ready)
