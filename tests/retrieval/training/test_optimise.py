from __future__ import annotations

from itertools import pairwise

import pytest
from torch import nn

from retrieval.training.config import GroupConfig, LossConfig, NetworkConfig, Optimiser, Schedule, TrainingConfig
from retrieval.training.optimise import make_optimiser, rate_share, set_rate

CONFIG = TrainingConfig(
    name="x", network=NetworkConfig(bits=16), groups=(GroupConfig(("toy",), 2),), steps=100, warmup=10, rate=0.2
)


def test_rate_rises_in_the_warm_up_and_falls_along_a_cosine() -> None:
    shares = [rate_share(CONFIG, step) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9] == shares[10] == pytest.approx(1.0)
    assert shares[55] == pytest.approx(0.5)
    assert shares[99] == pytest.approx(0.01)
    assert all(a >= b for a, b in pairwise(shares[10:]))


def test_stepped_rate_falls_to_a_tenth_after_two_fifths() -> None:
    config = TrainingConfig(
        name="x", network=CONFIG.network, groups=CONFIG.groups, steps=50, warmup=0, schedule=Schedule.STEP
    )
    assert [rate_share(config, step) for step in (0, 19, 20, 49)] == [1.0, 1.0, 0.1, 0.1]


@pytest.mark.parametrize("kind", Optimiser)
def test_the_losses_own_parameters_learn_at_their_own_rate(kind: Optimiser) -> None:
    config = TrainingConfig(
        name="x",
        network=CONFIG.network,
        groups=CONFIG.groups,
        optimiser=kind,
        rate=0.2,
        warmup=0,
        losses=LossConfig(parameter_rate=5.0),
    )
    optimiser = make_optimiser(config, nn.Linear(2, 2), nn.Linear(2, 1))
    assert set_rate(optimiser, config, 0) == pytest.approx(0.2)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.2, 1.0])
    assert len(make_optimiser(config, nn.Linear(2, 2), nn.Identity()).param_groups) == 1
