"""DH: a small network on given features whose outputs lie near ±1, vary much and come from independent directions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Matrix = npt.NDArray[np.float32]

# The paper's widths for 64 bits before the last layer.
_HIDDEN = (100, 80)
_SPREAD, _INDEPENDENCE, _DECAY = 100.0, 1e-3, 1e-3
_STEPS, _RATE = 200, 1e-3


class DeepHashing:
    """Three layers with tanh, learned from all training images at once, without labels.

    The first layer starts from the principal components of the features, the others from the identity, as in the paper;
    Adam takes the place of its hand-tuned gradient descent.

    Args:
        features: float32 (n, d) of the training images, n ≥ 2. bits: code length.

    Source: Liong et al. 2015, CVPR, Deep hashing for compact binary codes learning; P4, table 1.
    """

    def __init__(self, features: Matrix, bits: int) -> None:
        self._mean, self._spread = features.mean(axis=0), features.std(axis=0).clip(min=1e-6)
        inputs = torch.from_numpy(self._scaled(features))
        widths = (features.shape[1], *_HIDDEN, bits)
        self._layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self._start(inputs)
        optimiser = torch.optim.Adam(self._layers.parameters(), lr=_RATE)
        for _ in range(_STEPS):
            optimiser.zero_grad()
            layers = [(layer.weight, layer.bias) for layer in self._layers if isinstance(layer, nn.Linear)]
            deep_hashing_objective(self._forward(inputs), layers).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def encode(self, features: Matrix) -> Matrix:
        """Real-valued codes float32 (n, bits) in (-1, 1); the sign is the bit."""
        with torch.inference_mode():
            found = self._forward(torch.from_numpy(self._scaled(features)))
        return np.asarray(found.numpy(), dtype=np.float32)

    def _scaled(self, features: Matrix) -> Matrix:
        return np.asarray((features - self._mean) / self._spread, dtype=np.float32)

    def _start(self, inputs: Tensor) -> None:
        first, *others = (layer for layer in self._layers if isinstance(layer, nn.Linear))
        _, _, directions = torch.linalg.svd(inputs, full_matrices=False)
        with torch.no_grad():
            kept = min(len(directions), first.out_features)
            first.weight[:kept] = directions[:kept]
            first.bias.zero_()
            for layer in others:
                nn.init.eye_(layer.weight)
                layer.bias.zero_()

    def _forward(self, inputs: Tensor) -> Tensor:
        for layer in self._layers:
            inputs = torch.tanh(layer(inputs))
        return inputs


def deep_hashing_objective(
    codes: Tensor,
    layers: Sequence[tuple[Tensor, Tensor]],
    spread: float = _SPREAD,
    independence: float = _INDEPENDENCE,
    decay: float = _DECAY,
) -> Tensor:
    """`J = ½‖B − H‖² − λ₁/2·tr(HHᵀ)/N + λ₂/2·Σ‖WWᵀ − I‖² + λ₃/2·Σ(‖W‖² + ‖c‖²)`, B the signs of H; a scalar.

    Args:
        codes: H, float (N, bits). layers: weight W (out, in) and bias c (out,) of each.
        spread, independence, decay: λ₁, λ₂, λ₃.

    Source: Liong et al. 2015, CVPR, objective of DH; λ as there.
    """
    signs = torch.where(codes > 0, 1.0, -1.0).detach()
    cost = 0.5 * (signs - codes).square().sum() - 0.5 * spread * codes.square().sum() / len(codes)
    for weight, bias in layers:
        identity = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
        cost = cost + 0.5 * independence * (weight @ weight.T - identity).square().sum()
        cost = cost + 0.5 * decay * (weight.square().sum() + bias.square().sum())
    return cost
