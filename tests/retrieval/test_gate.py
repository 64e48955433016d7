from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from retrieval.errors import ImageNotUsable
from retrieval.gate import NOT_FRONTAL, UNINFORMATIVE, Gate, GateReading, detail


def gate() -> Gate:
    one = torch.ones(4)
    return Gate(
        centre=0 * one, scale=one, weight=one, bias=torch.tensor(0.0), directions=torch.eye(4),
        least_logit=torch.tensor(0.0), most_distance=torch.tensor(2.0), least_detail=torch.tensor(5.0),
    )  # fmt: skip


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 64, 64)).astype(np.uint8)


def test_reasons_follow_the_thresholds() -> None:
    batch = images(4)
    batch[3] = 128
    scores = np.array([[1.0, 1.0], [-0.1, 1.0], [1.0, 2.1], [1.0, 1.0]], dtype=np.float32)
    reading = gate().read(batch, scores)
    assert reading.reason == (None, NOT_FRONTAL, NOT_FRONTAL, UNINFORMATIVE)
    assert reading.suitable.tolist() == [True, False, False, False]


def test_a_tighter_threshold_lets_less_through() -> None:
    scores = np.array([[0.5, 1.0]], dtype=np.float32)
    assert gate().read(images(1), scores).suitable[0]
    assert not replace(gate(), least_logit=torch.tensor(0.6)).read(images(1), scores).suitable[0]


def test_reading_with_a_missing_reason_is_refused() -> None:
    with pytest.raises(ImageNotUsable):
        GateReading(np.array([True, False]), (None, None))


def test_detail_sees_ribs_and_not_slow_shading() -> None:
    y = np.linspace(0, 1, 256)[:, None] * np.ones((1, 256))
    shading, ribs = 255 * y, 127 + 100 * np.sin(2 * np.pi * 16 * y)
    assert detail(ribs.astype(np.uint8)) > 10 * detail(shading.astype(np.uint8))
