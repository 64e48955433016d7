from __future__ import annotations

import numpy as np

from retrieval.evaluation.protocol import code_similarity, evaluate


def test_perfect_recognition_gets_perfect_figures() -> None:
    patients = [f"p{i // 3}" for i in range(30)]
    similarity = np.array([[float(a == b) for b in patients] for a in patients])
    figures = evaluate("nih", "oracle", similarity, patients, [""] * 30)
    assert (figures.auc, figures.precision_at_1, figures.map_at_r, figures.swaps_at_fa_1) == (1.0, 1.0, 1.0, 1.0)
    assert (figures.images, figures.patients, figures.queries) == (30, 10, 30)


def test_chance_gets_the_figures_of_chance() -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{i // 2}" for i in range(120)]
    noise = rng.random((120, 120))
    figures = evaluate("nih", "chance", noise + noise.T, patients, [""] * 120)
    assert 0.35 < figures.auc < 0.65
    assert figures.auc_low < figures.auc < figures.auc_high
    assert figures.precision_at_1 < 0.1


def test_codes_are_compared_by_their_identity_half() -> None:
    code = np.array([[0xFF, 0x00], [0xFE, 0xFF]], dtype=np.uint8)
    assert code_similarity(code).tolist() == [[0, -1], [-1, 0]]
