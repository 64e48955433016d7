"""A scan by hash code finds exactly what counting every bit and sorting finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.codes import Code, hamming
from retrieval.errors import CodeLengthMismatch, IndexInputInvalid
from retrieval.index import hamming as module
from retrieval.index.hamming import CodeHits, CodeTable


def drawn(count: int, code_bytes: int, seed: int = 0) -> Code:
    """Codes with few bits set, so that many distances are equal."""
    rng = np.random.default_rng(seed)
    return np.packbits(rng.random((count, 8 * code_bytes)) < 0.1, axis=1)


def filled(codes: Code) -> CodeTable:
    table = CodeTable(codes.shape[1])
    for start in range(0, len(codes), 700):
        table.put(np.arange(start, min(start + 700, len(codes))), codes[start : start + 700])
    return table


@pytest.mark.parametrize("code_bytes", [1, 4, 8, 12, 16, 32, 40])
def test_distances_are_those_of_the_codes(code_bytes: int) -> None:
    codes = np.random.default_rng(1).integers(0, 256, (3000, code_bytes), dtype=np.uint8)
    table, probe = filled(codes), ~codes[7]
    found = table.distances(probe, len(codes))
    assert found.tolist() == hamming(codes, probe).tolist() and found[7] == 8 * code_bytes
    assert table.distances(probe, 0).shape == (0,)
    assert np.array_equal(table.at(np.array([2999, 3])), codes[[2999, 3]])


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 9000),
    code_bytes=st.sampled_from([4, 8, 16, 40]),
    k=st.sampled_from([1, 2, 10, 500, 5000, 20_000]),
    share=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    seed=st.integers(0, 3),
)
def test_the_nearest_are_those_of_a_full_sort(count: int, code_bytes: int, k: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, probe = drawn(count, code_bytes, seed), drawn(1, code_bytes, seed + 9)[0]
    ids = rng.permutation(2 * count).astype(np.int64)[:count]
    allowed = rng.random(count) < share
    expected = hamming(codes, probe)
    order = np.lexsort((ids, expected))
    order = order[allowed[order]][:k]
    found = filled(codes).nearest(probe, ids, k, allowed)
    assert found.ids.tolist() == ids[order].tolist()
    assert found.hammings.tolist() == expected[order].tolist()


def test_several_blocks_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, probe = drawn(50_000, 16), drawn(1, 16, 5)[0]
    ids = np.random.default_rng(2).permutation(len(codes)).astype(np.int64)
    once = filled(codes).nearest(probe, ids, 300)
    monkeypatch.setattr(module, "_BLOCK", 4099)
    again = filled(codes).nearest(probe, ids, 300)
    assert again.ids.tolist() == once.ids.tolist() and again.hammings.tolist() == once.hammings.tolist()
    assert once.ids.tolist() == ids[np.lexsort((ids, hamming(codes, probe)))][:300].tolist()


def test_a_row_that_is_written_again_holds_the_new_code() -> None:
    table = filled(drawn(10, 16))
    table.put(np.array([4]), np.zeros((1, 16), np.uint8))
    assert table.nearest(np.zeros(16, np.uint8), np.arange(10), 1).hammings.tolist() == [0]
    assert not table.at(np.array([4])).any()


def test_codes_of_another_network_are_refused() -> None:
    table = filled(drawn(10, 16))
    for refused in (
        lambda: table.put(np.array([0]), drawn(1, 8)),
        lambda: table.nearest(drawn(1, 8)[0], np.arange(10), 1),
        lambda: table.distances(drawn(1, 8)[0], 10),
    ):
        with pytest.raises(CodeLengthMismatch, match="same network"):
            refused()


@pytest.mark.parametrize(
    ("ids", "hammings"), [([1, 2], [3, 2]), ([2, 1], [3, 3]), ([1, 1], [3, 3]), ([1], [-1]), ([1, 2], [3])]
)
def test_impossible_hits_cannot_be_made(ids: list[int], hammings: list[int]) -> None:
    with pytest.raises(IndexInputInvalid):
        CodeHits(np.array(ids), np.array(hammings))
