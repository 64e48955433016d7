"""Fit the gate: frontal chests against images made wrong on purpose; no other body part or view is learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression

from retrieval.gate import Gate, detail, gate_features
from retrieval.networks import AttentionHashNetwork
from retrieval.networks.input import network_input
from retrieval.preprocess import prepare

Images = npt.NDArray[np.uint8]

_KEPT = 0.99
_DIRECTIONS = 64


@dataclass(frozen=True)
class GateMaterial:
    """Images uint8 (n, h, w) to fit on: frontal chests and wrong images, with the kind of each (adult, spoiled, ...).

    Each kind weighs the same. `held_out` are frontal chests of other patients; they set the thresholds.
    """

    frontal: Images
    frontal_kinds: Sequence[str]
    wrong: Images
    wrong_kinds: Sequence[str]
    held_out: Images
    held_out_kinds: Sequence[str]


def fit_gate(network: AttentionHashNetwork, size: int, material: GateMaterial) -> Gate:
    """Fit the classifier and the distance; thresholds keep 99 % of held-out chests, with room to spare.

    Args:
        network: in evaluation mode.
        size: side the network works at.
        material: see `GateMaterial`.
    """
    frontal, wrong = (_features(network, size, images) for images in (material.frontal, material.wrong))
    held_out = _features(network, size, material.held_out)
    centre = frontal.mean(axis=0)
    scale = frontal.std(axis=0) + 1e-3
    good, bad, fresh = ((x - centre) / scale for x in (frontal, wrong, held_out))
    weights = np.concatenate([_balanced(material.frontal_kinds), _balanced(material.wrong_kinds)])
    labels = np.concatenate([np.ones(len(good)), np.zeros(len(bad))])
    classifier = LogisticRegression(C=0.01, max_iter=300)
    classifier.fit(np.concatenate([good, bad]), labels, sample_weight=weights * len(labels) / 2)
    directions = _whitened(good, _balanced(material.frontal_kinds))
    distance = np.sqrt(((fresh @ directions.T) ** 2).mean(axis=1))
    logit = fresh @ classifier.coef_[0] + classifier.intercept_[0]
    share = _balanced(material.held_out_kinds)
    details = np.array([detail(image) for image in material.held_out])
    return Gate(
        centre=torch.from_numpy(centre),
        scale=torch.from_numpy(scale),
        weight=torch.from_numpy(classifier.coef_[0].astype(np.float32)),
        bias=torch.tensor(float(classifier.intercept_[0])),
        directions=torch.from_numpy(directions.astype(np.float32)),
        least_logit=torch.tensor(min(0.0, _quantile(logit, share, 1 - _KEPT))),
        most_distance=torch.tensor(1.3 * _quantile(distance, share, _KEPT)),
        least_detail=torch.tensor(0.7 * _quantile(details, share, 1 - _KEPT)),
    )


def spoil(images: Images, rng: np.random.Generator) -> Images:
    """Make one wrong image from each frontal chest: turned, upside down, negative, blurred away, cropped, shuffled, ...

    Args:
        images: uint8 (n, h, w).
        rng: source of chance.

    Returns:
        uint8 (n, h, w), prepared like any other image.
    """
    makers = (_turned, _turned, _upside_down, _negative, _cropped, _shuffled, _blurred, _pattern, _half)
    spoiled = [prepare(makers[rng.integers(len(makers))](image, rng), image.shape[0]) for image in images]
    return np.stack(spoiled)


def _turned(image: Images, rng: np.random.Generator) -> Images:
    return np.ascontiguousarray(np.rot90(image, int(rng.integers(1, 4))))


def _upside_down(image: Images, rng: np.random.Generator) -> Images:
    return np.ascontiguousarray(image[::-1])


def _negative(image: Images, rng: np.random.Generator) -> Images:
    return np.ascontiguousarray(255 - np.rot90(image, int(rng.integers(0, 4)) if rng.random() < 0.3 else 0))


def _cropped(image: Images, rng: np.random.Generator) -> Images:
    side = int(image.shape[0] * rng.uniform(0.2, 0.45))
    top, left = rng.integers(0, image.shape[0] - side, 2)
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def _half(image: Images, rng: np.random.Generator) -> Images:
    middle = image.shape[1] // 2 + int(rng.integers(-20, 21))
    return np.ascontiguousarray(image[:, :middle] if rng.random() < 0.5 else image[:, middle:])


def _shuffled(image: Images, rng: np.random.Generator) -> Images:
    count = int(rng.choice((2, 3, 4)))
    side = image.shape[0] // count
    tiles = [image[y * side : (y + 1) * side, x * side : (x + 1) * side] for y in range(count) for x in range(count)]
    order = rng.permutation(len(tiles))
    rows = [np.hstack([tiles[i] for i in order[y * count : (y + 1) * count]]) for y in range(count)]
    return np.vstack(rows)


def _blurred(image: Images, rng: np.random.Generator) -> Images:
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), float(rng.uniform(14, 30)))
    return np.asarray(np.clip(blurred + rng.normal(0, 2, image.shape), 0, 255), dtype=np.uint8)


def _pattern(image: Images, rng: np.random.Generator) -> Images:
    """Noise, smooth noise, gradients, bars or a disc: what test images and phantoms of other kinds look like."""
    size = image.shape[0]
    kind = int(rng.integers(5))
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    if kind == 0:
        field: npt.NDArray[np.floating] = rng.normal(size=(size, size))
    elif kind == 1:
        field = np.asarray(cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), float(rng.uniform(2, 20))))
    elif kind == 2:
        field = x * rng.normal() + y * rng.normal()
    elif kind == 3:
        field = np.sin((x * rng.uniform(-60, 60)) + y * rng.uniform(-60, 60))
    else:
        centre, radius = rng.uniform(0.3, 0.7, 2), rng.uniform(0.1, 0.4)
        field = (np.hypot(x - centre[0], y - centre[1]) < radius) * 4 + rng.normal(size=(size, size))
    low, high = float(field.min()), float(field.max())
    return np.asarray((field - low) * (255 / max(high - low, 1e-6)), dtype=np.uint8)


def _features(network: AttentionHashNetwork, size: int, images: Images) -> npt.NDArray[np.float32]:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), 32):
            batch = network_input(torch.from_numpy(images[start : start + 32].copy()), size)
            with torch.autocast("cpu", torch.bfloat16):
                outputs = network(batch)
            parts.append(gate_features(outputs, batch).numpy())
    return np.concatenate(parts)


def _balanced(kinds: Sequence[str]) -> npt.NDArray[np.float64]:
    """Weights (n,) that sum to one and give each kind the same share."""
    names, numbers, counts = np.unique(np.array(kinds), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[numbers] * len(names)), dtype=np.float64)


def _whitened(features: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Principal directions (k, f) with unit variance of the projections."""
    _, values, vectors = np.linalg.svd(features * np.sqrt(weights)[:, None], full_matrices=False)
    return np.asarray(vectors[:_DIRECTIONS] / values[:_DIRECTIONS, None], dtype=np.float64)


def _quantile(values: npt.NDArray[np.floating], weights: npt.NDArray[np.float64], share: float) -> float:
    """Weighted quantile."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][min(int(np.searchsorted(reached, share)), len(values) - 1)])
