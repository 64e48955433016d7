"""Reading and writing weight files: half precision on disk, float32 in memory, nothing unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from retrieval.errors import WeightsNotUsable
from retrieval.gate import Gate
from retrieval.networks import AttentionHashNetwork, Backbone
from retrieval.networks.verification import VerificationHead
from retrieval.verification import PREFIX, Verifier, read_verifier
from retrieval.weights.card import Card, find_weights, model_id_of, read_card

_NETWORK, _GATE = "network.", "gate."


@dataclass(frozen=True)
class Loaded:
    """A network and its gate, in evaluation mode, with the card and a short digest of the file.

    `verification` is None if the file holds no verification head.
    """

    network: AttentionHashNetwork
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
        network = AttentionHashNetwork(
            Backbone(card.backbone, split=card.split),
            card.embedding_dim,
            card.bits,
            len(card.findings),
            card.mean,
            card.std,
            card.regions,
            card.window,
        )
        network.load_state_dict(_part(stored, _NETWORK))
        gate = Gate.from_tensors(_part(stored, _GATE))
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise WeightsNotUsable(f"The weight file {path} does not fit its card: {error}.") from error
    return Loaded(network.eval(), gate, read_verifier(path, card.embedding_dim), card, model_id_of(path))


def store_weights(
    path: Path, network: AttentionHashNetwork, gate: Gate, verification: VerificationHead | None = None
) -> None:
    """Write a safetensors file: the network's floating-point tensors in half precision, gate and head in float32."""
    tensors = {_NETWORK + key: _halved(value) for key, value in network.state_dict().items()}
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
