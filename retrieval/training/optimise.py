"""The optimiser of a run and how its learning rate rises and falls."""

from __future__ import annotations

import math

import torch
from torch import nn

from retrieval.training.config import Optimiser, Schedule, TrainingConfig

_LEAST = 0.01
_DROP_AT, _DROP_TO = 0.4, 0.1


def make_optimiser(config: TrainingConfig, network: nn.Module, objective: nn.Module) -> torch.optim.Optimizer:
    """AdamW or SGD over the weights of the network and, at their own rate, those of the losses.

    Source: P4 for SGD with momentum 0.9 and weight decay 1e-4.
    """
    groups = [{"params": list(network.parameters()), "factor": 1.0}]
    own = list(objective.parameters())
    if own:
        groups.append({"params": own, "factor": config.losses.parameter_rate})
    if config.optimiser is Optimiser.SGD:
        return torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum, weight_decay=config.decay)
    return torch.optim.AdamW(groups, lr=config.rate, weight_decay=config.decay)


def set_rate(optimiser: torch.optim.Optimizer, config: TrainingConfig, step: int) -> float:
    """Set the rates for a step, counted from 0, and return the network's."""
    rate = config.rate * rate_share(config, step)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]
    return rate


def rate_share(config: TrainingConfig, step: int) -> float:
    """The share of the highest rate at a step counted from 0: rising in the warm-up, then falling; in [0.01, 1].

    Source: P4 for the schedule `step`, which falls from 0.01 to 0.001 after 20 of 50 epochs.
    """
    if step < config.warmup:
        return max((step + 1) / config.warmup, _LEAST)
    if config.schedule is Schedule.STEP:
        return 1.0 if step < _DROP_AT * config.steps else _DROP_TO
    done = (step - config.warmup) / (config.steps - config.warmup)
    return max(0.5 * (1 + math.cos(math.pi * done)), _LEAST)
