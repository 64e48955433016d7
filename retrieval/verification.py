"""The verification head at work: P3's comparison of two embeddings in plain arrays, for processes without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from retrieval.errors import WeightsNotUsable

Floats = npt.NDArray[np.float32]

PREFIX = "verification."


@dataclass(frozen=True, eq=False)
class Verifier:
    """A trained `retrieval.networks.verification.VerificationHead`.

    Attributes:
        dim: length of the embeddings.
        layers: of each fully connected layer weight float32 (out, in) and bias float32 (out,); ReLU between them.
            The first takes `dim` differences, or these and as many products; the last gives one logit.

    Raises:
        WeightsNotUsable: the layers do not fit each other or the embeddings.
    """

    dim: int
    layers: tuple[tuple[Floats, Floats], ...]

    def __post_init__(self) -> None:
        sizes = [weight.shape for weight, _ in self.layers]
        chained = all(later[1] == earlier[0] for earlier, later in pairwise(sizes))
        fits = bool(sizes) and sizes[0][1] in (self.dim, 2 * self.dim) and sizes[-1][0] == 1 and chained
        if not fits or any(bias.shape != weight.shape[:1] for weight, bias in self.layers):
            raise WeightsNotUsable(f"The verification head does not fit embeddings of length {self.dim}.")

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Floats], dim: int) -> Verifier:
        """Restore one from `layers.<number>.weight` and `.bias`, the names of the head's state dict.

        Raises:
            WeightsNotUsable: a tensor is missing, or they do not fit.
        """
        numbers = sorted({int(name.split(".")[1]) for name in tensors})
        try:
            return cls(dim, tuple((tensors[f"layers.{n}.weight"], tensors[f"layers.{n}.bias"]) for n in numbers))
        except KeyError as error:
            raise WeightsNotUsable(f"The verification head has no tensor {error}.") from error

    def logits(self, first: Floats, second: Floats) -> Floats:
        """Logits of "one person", the order of the two does not matter.

        Args:
            first: float32 (n, dim), or (dim,) for one against many, of unit length.
            second: float32 (n, dim), of unit length.

        Returns:
            float32 (n,).

        Source: P3, improved Siamese network.
        """
        scale = np.float32(np.sqrt(self.dim))
        seen = scale * np.abs(first - second)
        if self.layers[0][0].shape[1] == 2 * self.dim:
            seen = np.concatenate([seen, scale * scale * first * second], axis=-1)
        for weight, bias in self.layers[:-1]:
            seen = np.maximum(seen @ weight.T + bias, 0.0)
        weight, bias = self.layers[-1]
        return np.asarray((seen @ weight.T + bias)[..., 0], dtype=np.float32)


def read_verifier(weights: Path, dim: int) -> Verifier | None:
    """The verification head in a weight file; None if it holds none, since the head was not better than nothing.

    Args:
        weights: safetensors file. dim: length of the embeddings, from its card.

    Raises:
        WeightsNotUsable: the file cannot be read, or the head does not fit.
    """
    try:
        with safe_open(weights, framework="numpy") as stored:
            names = [name for name in stored.keys() if name.startswith(PREFIX)]  # noqa: SIM118 (not a dict)
            tensors = {name.removeprefix(PREFIX): stored.get_tensor(name).astype(np.float32) for name in names}
    except (OSError, SafetensorError) as error:
        raise WeightsNotUsable(f"The weight file {weights} cannot be read: {error}.") from error
    return Verifier.from_tensors(tensors, dim) if tensors else None
