"""The blocked comparison finds exactly the pairs that an exact search finds, whatever the blocks and the precision."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from retrieval.audit import pairs
from retrieval.audit.pairs import Pairs, PairScan, Scale
from retrieval.errors import AuditImpossible

DIM = 96


def gallery(persons: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Two images a person; persons come in families of ten that are somewhat alike."""
    rng = np.random.default_rng(seed)
    families = np.repeat(rng.normal(size=(-(-persons // 10), DIM)), 10, axis=0)[:persons]
    centres = families + 0.8 * rng.normal(size=(persons, DIM))
    vectors = np.repeat(centres, 2, axis=0) + 0.3 * rng.normal(size=(2 * persons, DIM))
    person = np.repeat(np.arange(persons), 2)
    order = rng.permutation(len(person))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit[order].astype(np.float32), person[order]


def exact(vectors: NDArray[np.float32], person: NDArray[np.int64], floor: float) -> set[tuple[int, int]]:
    cosine = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    first, second = np.nonzero(np.triu(cosine >= floor, 1) & (person[:, None] != person[None]))
    return set(zip(first.tolist(), second.tolist(), strict=True))


def scanned(scan: PairScan) -> Pairs:
    return Pairs.joined([scan.block(number) for number in range(scan.blocks)])


@pytest.fixture(params=[torch.float32, torch.bfloat16])
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "computes_bfloat16", lambda device: request.param is torch.bfloat16)


@pytest.mark.parametrize(("rows", "columns"), [(2048, 8192), (64, 64), (50, 130), (333, 7)])
@pytest.mark.parametrize("floor", [0.35, 0.5, 0.6])
def test_every_pair_above_the_threshold_is_found_and_no_other(
    floor: float, rows: int, columns: int, precision: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "ROWS", rows)
    monkeypatch.setattr(pairs, "COLUMNS", columns)
    vectors, person = gallery(300)
    found = scanned(PairScan(vectors, person, floor, "cpu"))
    expected = exact(vectors, person, floor)
    listed = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert len(expected) > 20
    assert listed == sorted(expected)
    assert all(one < other for one, other in pairwise(listed))
    np.testing.assert_allclose(
        found.cosine, np.einsum("nd,nd->n", vectors[found.first], vectors[found.second]), atol=1e-6
    )


@pytest.mark.parametrize(("rows", "columns"), [(2048, 8192), (64, 50)])
@pytest.mark.parametrize("floor", [-0.5, 1.8, 3.0])
def test_each_image_is_measured_on_its_own_scale(
    floor: float, rows: int, columns: int, precision: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "ROWS", rows)
    monkeypatch.setattr(pairs, "COLUMNS", columns)
    vectors, person = gallery(150)
    rng = np.random.default_rng(5)
    mean, deviation = rng.normal(0.1, 0.05, len(vectors)), rng.uniform(0.12, 0.3, len(vectors))
    cosine = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    standard = (cosine - mean[:, None]) / deviation[:, None]
    alike = (standard + standard.T) / 2 >= floor
    first, second = np.nonzero(np.triu(alike, 1) & (person[:, None] != person[None]))
    found = scanned(PairScan(vectors, person, floor, "cpu", Scale.of_levels(mean, deviation)))
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == list(
        zip(first.tolist(), second.tolist(), strict=True)
    )
    assert len(first) > 20


def test_a_scale_that_turns_likeness_round_is_refused() -> None:
    with pytest.raises(AuditImpossible):
        Scale(np.array([0.5, 0.0]), np.zeros(2))


def test_precision_and_blocks_do_not_change_a_single_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, person = gallery(300)
    results = []
    for half, rows in ((True, 2048), (False, 64)):
        monkeypatch.setattr(pairs, "computes_bfloat16", lambda device, half=half: half)
        monkeypatch.setattr(pairs, "ROWS", rows)
        found = scanned(PairScan(vectors, person, 0.45, "cpu"))
        results.append((found.first.tobytes(), found.second.tobytes(), found.cosine.tobytes()))
    assert results[0] == results[1]


def test_blocks_are_independent_and_their_work_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "ROWS", 64)
    vectors, person = gallery(100)
    scan = PairScan(vectors, person, 0.45, "cpu")
    backwards = [scan.block(number) for number in reversed(range(scan.blocks))][::-1]
    assert Pairs.joined(backwards).cosine.tobytes() == scanned(scan).cosine.tobytes()
    assert scan.blocks == 4
    assert sum(map(scan.work, range(4))) == 64 * (200 + 136 + 72) + 8 * 8


def test_a_threshold_that_separates_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "MOST_PAIRS_AN_IMAGE", 1)
    monkeypatch.setattr(pairs, "ROWS", 64)
    with pytest.raises(AuditImpossible, match="fit it again"):
        scanned(PairScan(*gallery(100), -1.0, "cpu"))


@pytest.mark.parametrize("images", [0, 1])
def test_a_gallery_without_pairs_has_none(images: int) -> None:
    vectors, person = gallery(1)
    found = scanned(PairScan(vectors[:images], person[:images], 0.5, "cpu"))
    assert len(found) == 0


def test_persons_and_images_must_fit() -> None:
    vectors, person = gallery(2)
    with pytest.raises(AuditImpossible):
        PairScan(vectors, person[1:], 0.5, "cpu")
