"""Build the network a training configuration describes, untrained or from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.optim.swa_utils import AveragedModel

from retrieval.data.findings import FINDINGS
from retrieval.networks import AttentionHashNetwork, Backbone
from retrieval.networks.input import network_input
from retrieval.training.checkpoint import load_checkpoint
from retrieval.training.config import NetworkConfig, TrainingConfig


def build_network(config: NetworkConfig, start: Path | None = None) -> AttentionHashNetwork:
    """Make an untrained network.

    Args:
        config: architecture.
        start: safetensors file of a torchvision state dict for the backbone; random if None.

    Raises:
        WeightsNotUsable: no such backbone, or `start` does not fit it.
    """
    backbone = Backbone(config.backbone)
    if start is not None:
        backbone.load_torchvision_file(start)
    return AttentionHashNetwork(
        backbone, config.embedding_dim, config.bits, len(FINDINGS), mean=config.mean, std=config.std
    )


def averaged_network(config: TrainingConfig, checkpoint: Path) -> AttentionHashNetwork:
    """The moving average of a run's weights, in evaluation mode.

    Raises:
        CheckpointInvalid: the checkpoint is of another network.
    """
    network = build_network(config.network)
    average = AveragedModel(build_network(config.network), use_buffers=True)
    load_checkpoint(checkpoint, network, average, None)
    network.load_state_dict(average.module.state_dict())
    return network.eval().to(memory_format=torch.channels_last)


def blend(network: AttentionHashNetwork, other: AttentionHashNetwork, share: float) -> None:
    """Move the weights of `network` towards those of an earlier stage: `(1 − share)·own + share·other`.

    Source: Wortsman et al., "Model soups", 2022.
    """
    theirs = other.state_dict()
    mixed = {
        key: torch.lerp(own, theirs[key], share) if own.is_floating_point() else own
        for key, own in network.state_dict().items()
    }
    network.load_state_dict(mixed)


def embed(network: AttentionHashNetwork, images: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.float32]:
    """Identity embeddings float32 (n, d) of prepared images uint8 (n, h, w), at a side of `size` pixels."""
    parts = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(images), 32):
            batch = network_input(torch.from_numpy(images[start : start + 32].copy()), size)
            parts.append(network(batch).embedding.numpy())
    return np.concatenate(parts)
