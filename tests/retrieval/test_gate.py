from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from retrieval.errors import ImageNotUsable
from retrieval.gate import NOT_FRONTAL, REASONS, UNINFORMATIVE, Gate, GateReading, Seen, chest_logit, detail
from retrieval.networks import Outputs

KINDS = len(Seen)


def gate() -> Gate:
    one = torch.ones(4)
    return Gate(
        centre=0 * one, scale=one, limit=torch.tensor(3.0), weight=torch.ones(KINDS, 4), bias=torch.zeros(KINDS),
        directions=torch.eye(4), least_logit=torch.tensor(0.0), most_distance=torch.tensor(2.0),
        least_detail=torch.tensor(5.0),
    )  # fmt: skip


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 64, 64)).astype(np.uint8)


def score(distance: float = 1.0, **logits: float) -> np.ndarray:
    """Scores of one image: 0 for each kind that is not named."""
    row = np.zeros(KINDS + 1, dtype=np.float32)
    for name, value in logits.items():
        row[Seen[name]] = value
    row[-1] = distance
    return row


def test_what_a_chest_must_reach() -> None:
    batch = images(4)
    batch[3] = 128
    scores = np.stack([score(CHEST=5), score(CHEST=1), score(CHEST=5, distance=2.1), score(CHEST=5)])
    reading = gate().read(batch, scores)
    assert reading.reason == (None, NOT_FRONTAL, NOT_FRONTAL, UNINFORMATIVE)
    assert reading.suitable.tolist() == [True, False, False, False]


@pytest.mark.parametrize("kind", [Seen.LATERAL, Seen.TURNED, Seen.INVERTED, Seen.PARTIAL, Seen.POOR])
def test_the_reason_names_the_kind_where_it_is_clear(kind: Seen) -> None:
    clear, doubtful = score(**{kind.name: 9.0}), score(**{kind.name: 1.0})
    assert gate().read(images(2), np.stack([clear, doubtful])).reason == (REASONS[kind], NOT_FRONTAL)


def test_other_images_have_the_general_reason() -> None:
    assert gate().read(images(1), score(OTHER=9.0)[None]).reason == (NOT_FRONTAL,)


def test_a_tighter_threshold_lets_less_through() -> None:
    scores = score(CHEST=3.0)[None]
    assert gate().read(images(1), scores).suitable[0]
    assert not replace(gate(), least_logit=torch.tensor(1.3)).read(images(1), scores).suitable[0]


def test_chest_logit_is_the_odds_of_a_chest_against_all_others() -> None:
    logits = np.array([2.0, 1.0, 0.0])
    share = np.exp(logits) / np.exp(logits).sum()
    assert chest_logit(logits) == pytest.approx(np.log(share[0] / (1 - share[0])))


def test_an_extreme_feature_counts_no_more_than_the_limit() -> None:
    def outputs(value: float) -> Outputs:
        nothing = torch.zeros(1)
        return Outputs(nothing, nothing, nothing, nothing, torch.zeros(1, 1, 3, 3), torch.full((1, 1, 2, 2), value))

    size = 9 + 1 + 144
    wide = replace(
        gate(), centre=torch.zeros(size), scale=torch.ones(size), weight=torch.ones(KINDS, size),
        directions=torch.eye(size),
    )  # fmt: skip
    black = torch.zeros(1, 1, 24, 24)
    logits = [wide.scores(outputs(value), black)[0, 0] for value in (2.0, 3.0, 300.0)]
    assert logits == pytest.approx([2.0, 3.0, 3.0])


def test_a_gate_with_other_kinds_is_refused() -> None:
    with pytest.raises(RuntimeError, match="3 kinds"):
        Gate.from_tensors(gate().tensors() | {"weight": torch.ones(3, 4), "bias": torch.ones(3)})


def test_reading_with_a_missing_reason_is_refused() -> None:
    with pytest.raises(ImageNotUsable):
        GateReading(np.array([True, False]), (None, None))


def test_detail_sees_ribs_and_not_slow_shading() -> None:
    y = np.linspace(0, 1, 256)[:, None] * np.ones((1, 256))
    shading, ribs = 255 * y, 127 + 100 * np.sin(2 * np.pi * 16 * y)
    assert detail(ribs.astype(np.uint8)) > 10 * detail(shading.astype(np.uint8))
