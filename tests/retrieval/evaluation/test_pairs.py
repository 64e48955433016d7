from __future__ import annotations

import numpy as np

from retrieval.evaluation.pairs import fair_pairs, make_pairs, numbered


def test_different_people_are_paired_only_within_a_stratum() -> None:
    first, second = fair_pairs(numbered(["a", "a", "b", "c"]), numbered(["PA", "AP", "PA", "AP"]))
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 3)]


def test_pairs_carry_cosine_and_the_distance_of_the_identity_half() -> None:
    embedding = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    code = np.array([[0b11110000, 0xFF], [0b11111111, 0x00]], dtype=np.uint8)
    pairs = make_pairs(embedding, code, numbered(["a", "a"]), ["", ""])
    assert pairs.same.tolist() == [True]
    assert np.allclose(pairs.cosine, [0.6])
    assert pairs.hamming.tolist() == [4]
