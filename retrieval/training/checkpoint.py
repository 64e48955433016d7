"""Checkpoints of a training run: tensors in safetensors, replaced in one step, so a killed run resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from retrieval.errors import CheckpointInvalid
from retrieval.weights.stored import save_whole

_MODEL, _AVERAGE, _LOSS, _OPTIMISER = "model.", "average.", "loss.", "optimiser."
# Of a weight file, see retrieval.weights.stored.
_WEIGHTS = "network."


def save_checkpoint(
    path: Path,
    step: int,
    model: nn.Module,
    average: nn.Module,
    loss: nn.Module,
    optimiser: torch.optim.Optimizer | None,
) -> None:
    """Write everything a run needs to go on after `step` steps; a crash leaves the previous file.

    Args:
        loss: with its own parameters and what it remembers.
        optimiser: left out if None; such a file can be evaluated and started from, but not gone on with.
    """
    tensors = {_MODEL + key: value for key, value in model.state_dict().items()}
    tensors |= {_AVERAGE + key: value for key, value in average.state_dict().items()}
    tensors |= {_LOSS + key: value for key, value in loss.state_dict().items()}
    state: dict[int, dict[str, Any]] = {} if optimiser is None else optimiser.state_dict()["state"]
    for index, values in state.items():
        tensors |= {f"{_OPTIMISER}{index}.{key}": value for key, value in values.items() if value is not None}
    copied = {key: value.cpu().contiguous().clone() for key, value in tensors.items()}
    save_whole(path, copied, {"step": str(step)})


def resume_checkpoint(
    path: Path, model: nn.Module, average: nn.Module, loss: nn.Module, optimiser: torch.optim.Optimizer
) -> int:
    """Restore a run and return the number of steps done.

    Raises:
        CheckpointInvalid: unreadable, or of another network, loss or optimiser.
    """
    tensors, step = _read(path)
    _restore(path, tensors, model, average)
    try:
        loss.load_state_dict(_part(tensors, _LOSS))
        _restore_optimiser(optimiser, _part(tensors, _OPTIMISER))
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise CheckpointInvalid(f"{path} does not fit this configuration: {error}.") from error
    return step


def load_weights_of(path: Path, model: nn.Module, average: AveragedModel) -> None:
    """Take the weights of a run, those of its last step and their average, or of a weight file, for both.

    Raises:
        CheckpointInvalid: unreadable, or of another network.
    """
    tensors, _ = _read(path)
    network = _part(tensors, _WEIGHTS)
    if not network:
        _restore(path, tensors, model, average)
        return
    for module in (model, average.module):
        _load(path, module, network)


def _read(path: Path) -> tuple[dict[str, Tensor], int]:
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
            return tensors, int((stored.metadata() or {}).get("step", 0))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointInvalid(f"{path} is no readable checkpoint of a training run: {error}.") from error


def _restore(path: Path, tensors: dict[str, Tensor], model: nn.Module, average: nn.Module) -> None:
    _load(path, model, _part(tensors, _MODEL))
    _load(path, average, _part(tensors, _AVERAGE))


def _load(path: Path, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointInvalid(f"{path} does not fit this configuration: {error}.") from error


def _restore_optimiser(optimiser: torch.optim.Optimizer, stored: dict[str, Tensor]) -> None:
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in stored.items():
        index, _, name = key.partition(".")
        like = parameters[int(index)]
        # In the parameter's own memory layout: a sum in another order of elements would end in another last digit.
        laid_out = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        state.setdefault(int(index), {})[name] = laid_out
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
