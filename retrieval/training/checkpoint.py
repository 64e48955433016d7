"""Checkpoints of a training run: tensors in safetensors, replaced in one step, so a killed run resumes."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from retrieval.errors import CheckpointInvalid

_MODEL, _AVERAGE, _OPTIMISER = "model.", "average.", "optimiser."


def save_checkpoint(
    path: Path, step: int, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Write everything a run needs to go on after `step` steps; a crash leaves the previous file."""
    tensors = {_MODEL + key: value for key, value in model.state_dict().items()}
    tensors |= {_AVERAGE + key: value for key, value in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"{_OPTIMISER}{index}.{key}": value for key, value in state.items()}
    partial = path.with_suffix(".partial")
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, partial, {"step": str(step)})
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(path)


def load_checkpoint(path: Path, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer | None) -> int:
    """Restore a run and return the number of steps done. Without an optimiser only the weights are restored.

    Raises:
        CheckpointInvalid: unreadable, or of another network.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
            step = int(stored.metadata()["step"])
        model.load_state_dict(_part(tensors, _MODEL))
        average.load_state_dict(_part(tensors, _AVERAGE))
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise CheckpointInvalid(f"The checkpoint {path} does not fit this configuration: {error}.") from error
    if optimiser is not None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, _OPTIMISER).items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return step


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
