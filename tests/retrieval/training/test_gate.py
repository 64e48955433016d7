from __future__ import annotations

import numpy as np
import pytest
import torch

from retrieval.data.phantoms import phantom_images, phantom_laterals
from retrieval.gate import NOT_FRONTAL, REASONS, Gate, GateReading, Seen
from retrieval.networks import Recogniser
from retrieval.networks.input import network_input
from retrieval.training.build import build_network
from retrieval.training.config import NetworkConfig
from retrieval.training.gate import GateMaterial, fit_gate
from retrieval.training.spoil import spoil

SPOILED = (Seen.TURNED, Seen.INVERTED, Seen.PARTIAL, Seen.POOR, Seen.OTHER)


@pytest.fixture(scope="module")
def fitted() -> tuple[Recogniser, Gate]:
    """A gate on the features of an untrained network, fitted on synthetic chests."""
    torch.manual_seed(0)
    network = Recogniser(build_network(NetworkConfig(bits=32)), 96).eval()
    chests = phantom_images(24, 1, seed=1)[:, 0]
    rng = np.random.default_rng(0)
    wrong = [(kind, spoil(chests, kind, rng)) for kind in SPOILED] + [(Seen.LATERAL, phantom_laterals(12, 1))]
    material = GateMaterial(
        frontal=chests,
        frontal_kinds=["phantom"] * 24,
        wrong=np.concatenate([images for _, images in wrong]),
        wrong_kinds=[kind for kind, images in wrong for _ in images],
        held_out=phantom_images(8, 1, seed=2)[:, 0],
        held_out_kinds=["phantom"] * 8,
    )
    return network, fit_gate(network, material)


def read(fitted: tuple[Recogniser, Gate], images: np.ndarray) -> GateReading:
    network, gate = fitted
    with torch.inference_mode():
        batch = network_input(torch.from_numpy(images.copy()), 96)
        return gate.read(images, gate.scores(network(batch), batch))


def test_fresh_chests_pass_and_turned_ones_do_not(fitted: tuple[Recogniser, Gate]) -> None:
    chests = phantom_images(8, 1, seed=3)[:, 0]
    assert read(fitted, chests).suitable.mean() >= 0.75
    assert read(fitted, np.rot90(chests, axes=(1, 2))).suitable.mean() <= 0.25


def test_most_reasons_given_are_the_right_ones(fitted: tuple[Recogniser, Gate]) -> None:
    chests = phantom_images(8, 1, seed=3)[:, 0]
    for images, kind in ((255 - chests, Seen.INVERTED), (np.rot90(chests, axes=(1, 2)), Seen.TURNED)):
        told = [reason for reason in read(fitted, images).reason if reason not in (None, NOT_FRONTAL)]
        assert told.count(REASONS[kind]) > len(told) / 2, told


def test_held_out_chests_set_the_thresholds(fitted: tuple[Recogniser, Gate]) -> None:
    assert read(fitted, phantom_images(8, 1, seed=2)[:, 0]).suitable.all()


def test_gate_survives_storing(fitted: tuple[Recogniser, Gate]) -> None:
    network, gate = fitted
    chests = phantom_images(3, 1, seed=4)[:, 0]
    again = read((network, Gate.from_tensors(gate.tensors())), chests)
    assert again.reason == read(fitted, chests).reason
