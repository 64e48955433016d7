"""Fit the gate: frontal chests against each kind of wrong image; patients not learned from set the thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from sklearn.linear_model import LogisticRegression

from retrieval.gate import Gate, Seen, chest_logit, detail, gate_features
from retrieval.networks import Recogniser
from retrieval.networks.input import network_input

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_LOST = 0.01
_ROOM = 0.3
_LIMIT = 3.0
# Inverse regularisation; the weights of all images sum to one, so it does not depend on how many there are.
_FREEDOM = 6.0
_DIRECTIONS = 64
_PROGRESS = Console(stderr=True)


@dataclass(frozen=True)
class GateMaterial:
    """Images uint8 (n, h, w) to fit on: frontal chests and wrong images, with the kind of each.

    Every kind of chest (a dataset, for example) weighs the same, and so does every kind of wrong image. `held_out` are
    frontal chests of other patients; they set the thresholds.
    """

    frontal: Images
    frontal_kinds: Sequence[str]
    wrong: Images
    wrong_kinds: Sequence[Seen]
    held_out: Images
    held_out_kinds: Sequence[str]


def fit_gate(network: Recogniser, material: GateMaterial) -> Gate:
    """Fit the classifier and the distance.

    Of no kind of held-out chests does a threshold refuse more than 1 %, and each lies some way below that.

    Args:
        network: in evaluation mode.
        material: see `GateMaterial`.
    """
    frontal, wrong, held_out = (
        _features(network, images, name)
        for images, name in (
            (material.frontal, "chests"),
            (material.wrong, "others"),
            (material.held_out, "thresholds"),
        )
    )
    centre = frontal.mean(axis=0)
    scale = frontal.std(axis=0) + 1e-3
    good, bad, fresh = ((x - centre) / scale for x in (frontal, wrong, held_out))
    known, others, judged = (np.clip(x, -_LIMIT, _LIMIT) for x in (good, bad, fresh))
    weight, bias = _classifier(known, _balanced(material.frontal_kinds), others, material.wrong_kinds)
    directions = _whitened(good, _balanced(material.frontal_kinds))
    logit = _lowest(chest_logit(judged @ weight.T + bias), material.held_out_kinds)
    distance = -_lowest(-np.sqrt(((fresh @ directions.T) ** 2).mean(axis=1)), material.held_out_kinds)
    least_detail = _lowest(np.array([detail(image) for image in material.held_out]), material.held_out_kinds)
    return Gate(
        centre=torch.from_numpy(centre),
        scale=torch.from_numpy(scale),
        limit=torch.tensor(_LIMIT),
        weight=torch.from_numpy(weight.astype(np.float32)),
        bias=torch.from_numpy(bias.astype(np.float32)),
        directions=torch.from_numpy(directions.astype(np.float32)),
        least_logit=torch.tensor(logit - _ROOM * abs(logit)),
        most_distance=torch.tensor((1 + _ROOM) * distance),
        least_detail=torch.tensor((1 - _ROOM) * least_detail),
    )


def _classifier(good: Floats, shares: Floats, bad: Floats, kinds: Sequence[Seen]) -> tuple[Floats, Floats]:
    """Multinomial logistic regression over at least two kinds of wrong images: weights (k, f) and biases (k,).

    In the order of `Seen`; a kind without images is never seen.
    """
    labels = np.concatenate([np.full(len(good), int(Seen.CHEST)), np.array(kinds, dtype=int)])
    weights = np.concatenate([shares, _balanced([kind.name for kind in kinds])]) / 2
    fitted = LogisticRegression(C=_FREEDOM, max_iter=300).fit(
        np.concatenate([good, bad]), labels, sample_weight=weights
    )
    weight, bias = np.zeros((len(Seen), good.shape[1])), np.full(len(Seen), -1e4)
    weight[fitted.classes_], bias[fitted.classes_] = fitted.coef_, fitted.intercept_
    return weight, bias


def _lowest(values: Floats, kinds: Sequence[str]) -> float:
    """The 1st percentile of the kind whose 1st percentile is lowest."""
    names = np.array(kinds)
    return float(min(np.quantile(values[names == name], _LOST, method="lower") for name in np.unique(names)))


def _features(network: Recogniser, images: Images, name: str) -> npt.NDArray[np.float32]:
    parts = []
    with torch.inference_mode():
        for start in track(range(0, len(images), 32), description=f"gate: {name}", console=_PROGRESS):
            batch = network_input(torch.from_numpy(images[start : start + 32].copy()), images.shape[-1])
            with torch.autocast("cpu", torch.bfloat16):
                outputs = network.without_regional(batch)
            parts.append(gate_features(outputs, batch).numpy())
    return np.concatenate(parts)


def _balanced(kinds: Sequence[str]) -> Floats:
    """Weights (n,) that sum to one and give each kind the same share."""
    names, numbers, counts = np.unique(np.array(kinds), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[numbers] * len(names)), dtype=np.float64)


def _whitened(features: Floats, weights: Floats) -> Floats:
    """Principal directions (k, f) with unit variance of the projections."""
    _, values, vectors = np.linalg.svd(features * np.sqrt(weights)[:, None], full_matrices=False)
    return np.asarray(vectors[:_DIRECTIONS] / values[:_DIRECTIONS, None], dtype=np.float64)
