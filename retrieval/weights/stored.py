"""Reading and writing weight files: half precision on disk, float32 in memory, nothing unpickled."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from retrieval.errors import WeightsNotUsable
from retrieval.gate import Gate
from retrieval.networks import AttentionHashNetwork, Backbone, Recogniser, RegionalNetwork
from retrieval.networks.atlas import Atlas
from retrieval.networks.verification import VerificationHead
from retrieval.verification import PREFIX, Verifier, read_verifier
from retrieval.weights.card import Card, find_weights, model_id_of, read_card

_NETWORK, _REGIONAL, _ATLAS, _GATE = "network.", "regional.", "atlas.", "gate."


@dataclass(frozen=True)
class Loaded:
    """What recognises persons and its gate, in evaluation mode, with the card and a short digest of the file.

    `verification` is None if the file holds no verification head.
    """

    network: Recogniser
    gate: Gate
    verification: Verifier | None
    card: Card
    model_id: str


def load_weights(name_or_path: str | Path) -> Loaded:
    """Load a weight file with its card.

    Raises:
        WeightsNotUsable: missing, unreadable, or not of the network its card names.
    """
    path = find_weights(name_or_path)
    card = read_card(path)
    try:
        stored = load_file(path)
        whole = AttentionHashNetwork(
            Backbone(card.backbone), card.embedding_dim, card.bits, len(card.findings), card.mean, card.std
        )
        whole.load_state_dict(_part(stored, _NETWORK))
        regional = None if card.regional is None else RegionalNetwork(card.regional, card.mean, card.std)
        if regional is not None:
            regional.load_state_dict(_part(stored, _REGIONAL))
        atlas = Atlas() if card.aligned else None
        if atlas is not None:
            atlas.load_state_dict(_part(stored, _ATLAS))
        gate = Gate.from_tensors(_part(stored, _GATE))
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise WeightsNotUsable(f"The weight file {path} does not fit its card: {error}.") from error
    network = Recogniser(whole, card.input_size, regional, atlas).eval()
    return Loaded(network, gate, read_verifier(path, card.dim), card, model_id_of(path))


def stored_trunk(path: Path) -> dict[str, Tensor]:
    """Tensors of the regional network's trunk in a weight file; empty if the file has none.

    Raises:
        WeightsNotUsable: it cannot be read.
    """
    try:
        return _part(load_file(path), f"{_REGIONAL}trunk.")
    except (OSError, SafetensorError) as error:
        raise WeightsNotUsable(f"The weight file {path} cannot be read: {error}.") from error


def stored_atlas(path: Path) -> Atlas | None:
    """The atlas in a weight file, or in one that `store_atlas` wrote; None if there is none.

    Raises:
        WeightsNotUsable: it cannot be read.
    """
    try:
        tensors = _part(load_file(path), _ATLAS)
        atlas = Atlas() if tensors else None
        if atlas is not None:
            atlas.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsNotUsable(f"The mean chest in {path} cannot be read: {error}.") from error
    return atlas


def store_atlas(path: Path, atlas: Atlas) -> None:
    """Write an atlas alone; a crash leaves the file as it was."""
    save_whole(path, {_ATLAS + key: value.contiguous() for key, value in atlas.state_dict().items()})


def save_whole(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file that is there wholly and on the disk, or not at all."""
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata)
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(path)


def store_weights(path: Path, network: Recogniser, gate: Gate, verification: VerificationHead | None = None) -> None:
    """Write a safetensors file: the network's floating-point tensors in half precision, gate and head in float32."""
    tensors = {_NETWORK + key: _halved(value) for key, value in network.whole.state_dict().items()}
    if network.regional is not None:
        tensors |= {_REGIONAL + key: _halved(value) for key, value in network.regional.state_dict().items()}
    if network.atlas is not None:
        tensors |= {_ATLAS + key: _halved(value) for key, value in network.atlas.state_dict().items()}
    tensors |= {_GATE + key: value for key, value in gate.tensors().items()}
    if verification is not None:
        tensors |= {PREFIX + key: value for key, value in verification.state_dict().items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    path.chmod(0o644)


def _halved(value: Tensor) -> Tensor:
    return value.to(torch.float16) if value.is_floating_point() else value


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    chosen = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
    return {key: value.float() if value.is_floating_point() else value for key, value in chosen.items()}
