from __future__ import annotations

import numpy as np
import pytest
import torch

from retrieval.data.phantoms import phantom_images
from retrieval.gate import Gate, GateReading
from retrieval.networks import AttentionHashNetwork
from retrieval.networks.input import network_input
from retrieval.training.build import build_network
from retrieval.training.config import NetworkConfig
from retrieval.training.gate import GateMaterial, fit_gate, spoil


@pytest.fixture(scope="module")
def fitted() -> tuple[AttentionHashNetwork, Gate]:
    """A gate on the features of an untrained network, fitted on synthetic chests."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(bits=32)).eval()
    chests = phantom_images(24, 1, seed=1)[:, 0]
    wrong = np.concatenate([spoil(chests, np.random.default_rng(i)) for i in range(3)])
    fresh = phantom_images(8, 1, seed=2)[:, 0]
    return network, fit_gate(
        network, 96, GateMaterial(chests, ["phantom"] * 24, wrong, ["spoiled"] * 72, fresh, ["phantom"] * 8)
    )


def read(fitted: tuple[AttentionHashNetwork, Gate], images: np.ndarray) -> GateReading:
    network, gate = fitted
    with torch.inference_mode():
        batch = network_input(torch.from_numpy(images.copy()), 96)
        return gate.read(images, gate.scores(network(batch), batch))


def test_fresh_chests_pass_and_turned_ones_do_not(fitted: tuple[AttentionHashNetwork, Gate]) -> None:
    chests = phantom_images(8, 1, seed=3)[:, 0]
    assert read(fitted, chests).suitable.mean() >= 0.75
    assert read(fitted, np.rot90(chests, axes=(1, 2))).suitable.mean() <= 0.25


def test_gate_survives_storing(fitted: tuple[AttentionHashNetwork, Gate]) -> None:
    network, gate = fitted
    chests = phantom_images(3, 1, seed=4)[:, 0]
    again = read((network, Gate.from_tensors(gate.tensors())), chests)
    assert again.reason == read(fitted, chests).reason


def test_spoiling_leaves_no_image_as_it_was() -> None:
    chests = phantom_images(4, 1, seed=5)[:, 0]
    spoiled = spoil(chests, np.random.default_rng(0))
    assert spoiled.shape == chests.shape
    assert all(np.abs(a.astype(int) - b).mean() > 5 for a, b in zip(chests, spoiled, strict=True))
