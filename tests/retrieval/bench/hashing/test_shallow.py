"""ITQ against faiss's own, SSH against its formula worked out by hand."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from retrieval.bench.hashing.shallow import (
    IterativeQuantisation,
    SemiSupervisedHashing,
    pair_labels,
    ssh_objective,
)
from retrieval.codes import hamming, pack


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """Directions that cancel out: faiss's ITQ centres and normalises first, which then changes nothing."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(150, 24)) @ rng.normal(size=(24, 24))
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    return np.concatenate([half, -half]).astype(np.float32)


def test_itq_codes_are_those_of_faiss(features: np.ndarray) -> None:
    index = faiss.index_factory(24, "ITQ16,LSH")
    index.train(features)
    theirs = index.sa_encode(features)
    ours = IterativeQuantisation(features, 16).encode(features)
    assert (np.packbits(ours > 0, axis=1, bitorder="little") == theirs).mean() > 0.99


def test_hamming_search_of_itq_codes_is_that_of_faiss(features: np.ndarray) -> None:
    codes = pack(IterativeQuantisation(features, 16).encode(features))
    index = faiss.IndexBinaryFlat(16)
    index.add(codes)
    distances, _ = index.search(codes[:20], len(codes))
    ours = np.stack([np.sort(hamming(code, codes)) for code in codes[:20]])
    assert np.array_equal(ours, distances)


def test_itq_turns_principal_components_and_loses_less_than_they_do(features: np.ndarray) -> None:
    """The quantisation loss ‖B − VR‖² of Gong et al., eq. 2, against that without a turn."""
    turned = IterativeQuantisation(features, 16).encode(features)
    plain = faiss.PCAMatrix(24, 16)
    plain.train(features)
    components = plain.apply(features)
    assert np.isclose(np.linalg.norm(turned), np.linalg.norm(components), rtol=1e-4)
    assert np.linalg.norm(np.sign(turned) - turned) < np.linalg.norm(np.sign(components) - components)


def test_itq_takes_more_bits_than_training_images(features: np.ndarray) -> None:
    found = IterativeQuantisation(features[:10], 32).encode(features)
    assert found.shape == (300, 32)
    assert np.isfinite(found).all()


def test_ssh_objective_by_hand() -> None:
    """X = (1, 2, -3), one similar pair (0, 1), one dissimilar (0, 2): ½·(2·2 + 2·3)·w² + η/2·14·w², w = 1."""
    features = np.array([[1.0], [2.0], [-3.0]], np.float32)
    pairs = np.array([[0, 1, -1], [1, 0, 0], [-1, 0, 0]], np.float32)
    assert ssh_objective(np.ones((1, 1), np.float32), features, pairs, 0.5) == pytest.approx(5 + 0.25 * 14)


def test_ssh_finds_the_projections_of_the_highest_objective() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 8)).astype(np.float32)
    features -= features.mean(axis=0)
    pairs = rng.integers(-1, 2, size=(60, 60)).astype(np.float32)
    pairs = np.triu(pairs, 1) + np.triu(pairs, 1).T
    found = SemiSupervisedHashing(features, pairs, 3, eta=0.7)
    best = ssh_objective(found.projection, features, pairs, 0.7)
    adjusted = features.T @ pairs @ features + 0.7 * features.T @ features
    assert best == pytest.approx(0.5 * np.sort(np.linalg.eigvalsh(adjusted))[-3:].sum(), rel=1e-3)
    for _ in range(50):
        other, _ = np.linalg.qr(rng.normal(size=(8, 3)))
        assert ssh_objective(other.astype(np.float32), features, pairs, 0.7) <= best + 1e-3


def test_ssh_without_labelled_pairs_is_hashing_by_principal_components(features: np.ndarray) -> None:
    found = SemiSupervisedHashing(features, np.zeros((300, 300), np.float32), 5).encode(features)
    plain = faiss.PCAMatrix(24, 5)
    plain.train(features)
    assert np.allclose(np.abs(found), np.abs(plain.apply(features)), atol=1e-3)


def test_ssh_separates_what_the_labels_separate() -> None:
    """The label lies in a direction of little variance, where principal components do not look."""
    rng = np.random.default_rng(2)
    label = np.repeat([0, 1], 50)
    wide = rng.normal(0, 5, (2, 50))
    wide -= wide.mean(axis=1, keepdims=True)  # else it says something of the label by chance
    features = np.stack([wide.reshape(-1), label + rng.normal(0, 0.1, 100)], axis=1).astype(np.float32)
    same = label[:, None] == label[None, :]
    code = SemiSupervisedHashing(features, pair_labels(same, ~same), 1, eta=0.1).encode(features)[:, 0] > 0
    assert max((code == label).mean(), (code != label).mean()) > 0.95
