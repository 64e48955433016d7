from __future__ import annotations

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from retrieval.bench.classical import GlobalHash, GreyCosine, Histogram, Keypoints, classical_methods


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Four smooth patterns, and the first again, a little brighter and shifted by two pixels."""
    rng = np.random.default_rng(3)
    made = []
    for _ in range(4):
        field = cv2.GaussianBlur(rng.normal(size=(160, 160)), (0, 0), 3)
        made.append(255 * (field - field.min()) / np.ptp(field))
    made.append(np.roll(made[0], 2, axis=1) * 0.95 + 6)
    return np.clip(np.stack(made), 0, 255).astype(np.uint8)


def test_histogram_metrics_by_hand() -> None:
    """Two grey levels, shares 3/4 and 1/4 against 1/4 and 3/4."""
    one = np.array([[[0, 0], [0, 255]]], np.uint8)
    other = 255 - one
    expected = {
        "intersection": 0.25 + 0.25,
        "chi-square": -((0.5**2) / 0.75 + (0.5**2) / 0.25),
        "Bhattacharyya": -np.sqrt(1 - 2 * np.sqrt(0.75 * 0.25)),
        "correlation": abs(np.corrcoef([0.75, 0.25] + [0] * 254, [0.25, 0.75] + [0] * 254)[0, 1]),
    }
    for metric, value in expected.items():
        method = Histogram(metric)
        assert np.isclose(method.similarity(method.represent(one), method.represent(other))[0, 0], value, atol=1e-5)


def test_hashes_are_those_of_imagehash(pictures: np.ndarray) -> None:
    for name, made in (
        ("aHash", imagehash.average_hash),
        ("pHash", imagehash.phash),
        ("dHash", imagehash.dhash),
    ):
        method = GlobalHash(name)
        codes = [made(Image.fromarray(picture)) for picture in pictures]
        expected = [[-(a - b) for b in codes] for a in codes]
        represented = method.represent(pictures)
        assert np.array_equal(method.similarity(represented, represented), expected)
        assert method.nbytes(represented) == 8 * len(pictures)


def test_a_correlation_below_zero_counts_by_its_size() -> None:
    """Equal shares of two grey levels, and equal shares of all others: P3 takes the absolute value of eq. 1."""
    one = np.array([[[0, 255]]], np.uint8)
    other = np.arange(1, 255, dtype=np.uint8).reshape(1, 1, -1)
    expected = np.corrcoef([0.5, *[0] * 254, 0.5], [0, *[1 / 254] * 254, 0])[0, 1]
    method = Histogram("correlation")
    assert expected < -0.9
    assert np.isclose(method.similarity(method.represent(one), method.represent(other))[0, 0], -expected, atol=1e-5)


def test_grey_cosine_by_hand() -> None:
    one, other = np.array([[[3, 4]]], np.uint8), np.array([[[4, 3]]], np.uint8)
    method = GreyCosine()
    assert np.isclose(method.similarity(method.represent(one), method.represent(other))[0, 0], 24 / 25)


@pytest.mark.parametrize("name", ["SIFT", "ORB"])
def test_keypoints_find_the_shifted_picture(name: str, pictures: np.ndarray) -> None:
    method = Keypoints(name)
    represented = method.represent(pictures)
    matrix = method.similarity(represented, represented)
    assert np.array_equal(matrix, matrix.T)
    assert matrix[0, 4] > 1.5 * matrix[0, 1:4].max()
    assert np.array_equal(method.similarity(represented[:2], represented), matrix[:2])
    assert method.nbytes(represented) == sum(one.nbytes for one in represented)


def test_a_blank_picture_has_no_keypoints_and_matches_nothing(pictures: np.ndarray) -> None:
    for name in ("SIFT", "ORB"):
        method = Keypoints(name)
        represented = method.represent(np.stack([np.zeros_like(pictures[0]), pictures[0]]))
        assert len(represented[0]) == 0
        assert method.similarity(represented, represented)[0].tolist() == [0, 0]


def test_every_method_takes_and_chooses_images_alike(pictures: np.ndarray) -> None:
    methods = classical_methods()
    assert len({method.about.key for method in methods}) == len(methods) == 10
    for method in methods:
        represented = method.represent(pictures)
        whole = method.similarity(represented, represented)
        few = method.chosen(represented, [4, 1])
        assert whole.shape == (5, 5)
        assert np.allclose(method.similarity(few, few), whole[np.ix_([4, 1], [4, 1])], atol=1e-5)
