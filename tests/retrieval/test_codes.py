from __future__ import annotations

import numpy as np
import pytest

from retrieval.codes import findings_half, hamming, identity_half, pack, unpack
from retrieval.errors import CodeLengthMismatch


def test_packing_keeps_the_sign_of_each_bit_in_order() -> None:
    real = np.array([[0.2, -0.1, -3.0, 1.0, -1.0, -1.0, -1.0, 0.001]], dtype=np.float32)
    assert pack(real).tolist() == [[0b10010001]]


def test_unpacking_undoes_packing() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (5, 32), dtype=np.int64)
    assert np.array_equal(unpack(pack(bits)), bits)


def test_hamming_counts_differing_bits() -> None:
    first = np.array([[0b11110000, 0xFF]], dtype=np.uint8)
    second = np.array([[0b11110000, 0xFF], [0b00001111, 0xFF], [0b11110001, 0x00]], dtype=np.uint8)
    assert hamming(first, second).tolist() == [0, 8, 9]


def test_hamming_agrees_with_counting_bit_by_bit() -> None:
    codes = np.random.default_rng(1).integers(0, 256, (2, 40, 16), dtype=np.uint8)
    assert np.array_equal(hamming(codes[0], codes[1]), (unpack(codes[0]) != unpack(codes[1])).sum(axis=1))


def test_codes_of_different_length_are_not_compared() -> None:
    with pytest.raises(CodeLengthMismatch, match="64 bits"):
        hamming(np.zeros((1, 8), dtype=np.uint8), np.zeros((1, 16), dtype=np.uint8))


def test_codes_of_broken_bytes_are_refused() -> None:
    with pytest.raises(CodeLengthMismatch):
        pack(np.ones((1, 12)))


def test_halves_split_the_code_in_the_middle() -> None:
    code = np.arange(16, dtype=np.uint8)[None]
    assert identity_half(code).tolist() == [list(range(8))]
    assert findings_half(code).tolist() == [list(range(8, 16))]
