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
from retrieval.training.checkpoint import load_weights_of
from retrieval.training.config import NetworkConfig, TrainingConfig

_BATCH = 32


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
    backbone.freeze(config.frozen)
    network = AttentionHashNetwork(
        backbone,
        config.embedding_dim,
        config.bits,
        len(FINDINGS),
        mean=config.mean,
        std=config.std,
    )
    network.hash_trains_backbone = config.hash_trains_backbone
    return network


def averaged_network(config: TrainingConfig, checkpoint: Path) -> AttentionHashNetwork:
    """The moving average of a run's weights, in evaluation mode.

    Raises:
        CheckpointInvalid: the checkpoint is of another network.
    """
    network = build_network(config.network)
    average = AveragedModel(build_network(config.network), use_buffers=True)
    load_weights_of(checkpoint, network, average)
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


def embed(
    network: AttentionHashNetwork, images: npt.NDArray[np.uint8], size: int, half: bool = True
) -> npt.NDArray[np.float32]:
    """Identity embeddings float32 (n, d) of prepared images uint8 (n, h, w), at a side of `size` pixels."""
    return encode(network, images, size, half)[0]


def encode(
    network: AttentionHashNetwork, images: npt.NDArray[np.uint8], size: int, half: bool = True
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Embeddings and codes of images, on the device that the network is on.

    Args:
        network: in evaluation mode.
        images: uint8 (n, h, w), prepared, n ≥ 1. size: side in pixels that the network gets.
        half: compute in bfloat16.

    Returns:
        Embeddings float32 (n, d), L2-normalised, and real-valued codes float32 (n, bits).
    """
    place = next(network.parameters()).device
    embeddings, codes = [], []
    with torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=half):
        for start in range(0, len(images), _BATCH):
            batch = network_input(torch.from_numpy(images[start : start + _BATCH].copy()).to(place), size)
            outputs = network(batch)
            embeddings.append(outputs.embedding.float().cpu().numpy())
            codes.append(outputs.code.float().cpu().numpy())
    return np.concatenate(embeddings), np.concatenate(codes)
